//! The master dies while its replica is behind, and Sentinel promotes the replica: what was published
//! last is gone from it, a term and its record perhaps too. Terms and readers go on upwards.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 22,
    name: "failover-lagging",
    title: "failover to a lagging replica",
    bound: |timing| Bound::Level(timing.lease_ms + 1000),
    changes: |_| 1,
    reclaims: 1,
    layout: Layout { redis: RedisLayout::Sentinel, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let master = cluster.redis.primary().await?;
    let replica = cluster.redis.other_than(master)?;
    cluster.begins("the replica hears nothing of its master, which then dies");
    cluster.net.cut(replica.name(), &[master.address()]).await?;
    let version = master.newest().await?;
    let behind = || async { (master.newest().await.ok()? > version).then_some(()) };
    cluster.holds(Duration::from_secs(5), "the replica is behind", behind).await?;
    master.kill().await?;
    cluster.until_dropped(replica.name()).await?;
    cluster.redis.until_primary(replica).await?;
    cluster.healed("the replica is the master");
    cluster.net.heal(replica.name()).await?;
    master.start().await?;
    cluster.until_published().await
}
