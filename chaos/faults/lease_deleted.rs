//! Somebody deletes the lease. Whoever takes it next has the higher term; the old leader hears of that,
//! or finds it out at its next renewal.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 26,
    name: "lease-deleted",
    title: "lease deleted or evicted",
    bound: |timing| Bound::Takeover(timing.retry_ms + 300),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    let redis = cluster.redis.primary().await?;
    cluster.begins("DEL of the lease");
    let deleted: u64 = redis.command(&["DEL", &key("lease")]).await?;
    if deleted != 1 {
        return Err(Unknown("there was no lease to delete".to_owned()));
    }
    cluster.landed("it was there, and is not any more");
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.healed("another leads");
    cluster.until_published().await
}
