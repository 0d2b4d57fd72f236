//! FLUSHALL: lease, record, snapshots and state are gone at once, while the server stays the same. The
//! next term is above the old one all the same, and all snapshots come back.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 26,
    name: "everything-flushed",
    title: "FLUSHALL",
    bound: |timing| Bound::Takeover(timing.retry_ms + 300),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    let redis = cluster.redis.primary().await?;
    cluster.begins("FLUSHALL");
    let answer: String = redis.command(&["FLUSHALL"]).await?;
    cluster.landed(&answer);
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.healed("another leads");
    cluster.until_published().await
}
