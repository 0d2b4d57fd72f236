//! FLUSHALL: lease, record, snapshots and state are gone at once, while the server stays the same. Whoever
//! leads next, the one who did perhaps, does so in a term above the old one, and all snapshots come back.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 26,
    name: "everything-flushed",
    title: "FLUSHALL",
    // Noticed at the next renewal; then all is polled at once.
    bound: |timing| Bound::Level(timing.retry_ms + 1000),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    cluster.begins("FLUSHALL");
    let answer: String = redis.command(&["FLUSHALL"]).await?;
    cluster.landed(&answer);
    cluster.healed("what is gone can be written anew");
    cluster.until_leads_at(redis).await?;
    cluster.until_published().await
}
