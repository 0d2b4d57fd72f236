//! The slot that holds the cluster's keys moves to another master while replicas are connected to the
//! old one: they are told MOVED, follow, and claim anew there.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 29,
    name: "slot-moved",
    title: "Cluster resharded",
    bound: |timing| Bound::Level(timing.lease_ms + 1000),
    changes: |_| 1,
    reclaims: 1,
    layout: Layout { redis: RedisLayout::Cluster, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let from = cluster.redis.primary().await?;
    let to = cluster.redis.other_than(from)?;
    cluster.begins(&format!("the slot moves from {} to {}", from.name(), to.name()));
    cluster.redis.migrate(from, to).await?;
    cluster.redis.until_primary(to).await?;
    cluster.landed(&format!("{} owns it", to.name()));
    cluster.healed("the slot has moved");
    cluster.until_published().await
}
