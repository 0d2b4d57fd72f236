//! The network splits, with a master, the leader and a gateway on one side, and the replica, all else and
//! the sentinels on the other. Each side has a primary and a leader. Readers that change sides with what
//! they have are not taken back, and when the sides meet, one leader is left.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 24,
    name: "two-primaries",
    title: "two primaries at once",
    bound: |timing| Bound::Level(2 * timing.lease_ms + 1000),
    changes: |_| 1,
    reclaims: 1,
    layout: Layout { redis: RedisLayout::Sentinel, ..Layout::PLAIN },
    // Two leaders poll, each with a lease of its own server, and each side has its own truth about age.
    spared: &[Invariant::OnePoller, Invariant::StalenessIsSaid, Invariant::HonestTelemetry],
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let master = cluster.redis.primary().await?;
    let replica = cluster.redis.other_than(master)?;
    let leader = cluster.leader().await?;
    let inside = [master.name(), leader.name(), address::GATEWAYS[0]];
    let outside = cluster.nodes_but(&inside);
    cluster.begins(&format!("{} are on a side of their own", inside.join(", ")));
    for node in inside {
        cluster.net.cut(node, &outside).await?;
    }
    cluster.redis.until_primary(replica).await?;
    cluster.until_leads_at(replica).await?;
    cluster.until_dropped(master.name()).await?;
    cluster.pass(cluster.timing.lease()).await;
    for node in inside {
        cluster.net.heal(node).await?;
    }
    cluster.redis.until_replica(master).await?;
    cluster.healed("the sides have met");
    cluster.until_published().await
}
