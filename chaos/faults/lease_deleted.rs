//! Somebody deletes the lease. Whoever takes it next has the higher term: a standby that finds it free, or
//! the old leader, which finds out at its next renewal.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 26,
    name: "lease-deleted",
    title: "lease deleted or evicted",
    // Noticed at the next renewal at the latest.
    bound: |timing| Bound::Level(timing.retry_ms + 1000),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    cluster.begins("DEL of the lease");
    let deleted: u64 = redis.command(&["DEL", &key("lease")]).await?;
    if deleted != 1 {
        return Err(Unknown("there was no lease to delete".to_owned()));
    }
    cluster.landed("it was there, and is not any more");
    cluster.healed("it can be taken");
    // That the term is higher is for the checker to say.
    cluster.until_leads_at(redis).await?;
    cluster.until_published().await
}
