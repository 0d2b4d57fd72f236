//! The master becomes a replica under live connections: it still answers, and refuses every write. Who
//! is connected to it has to find out and go to the new one.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 23,
    name: "primary-turned-read-only",
    title: "old primary turned read-only under a live connection",
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
    cluster.begins("the master and its replica change places");
    // Sentinel would reset all connections at once: the data go over by hand, the name by Sentinel.
    let to = [&*replica.address().to_string(), "6379"];
    let _: String = replica.command(&["REPLICAOF", "NO", "ONE"]).await?;
    let _: String = master.command(&["REPLICAOF", to[0], to[1]]).await?;
    cluster.redis.proclaim(replica).await?;
    let write = master.command::<String>(&["SET", "landed", "no"]).await;
    match write {
        Err(Unknown(why)) if why.to_lowercase().contains("readonly") => cluster.landed(&why),
        other => return Err(Unknown(format!("the old master still takes writes: {other:?}"))),
    }
    cluster.healed("Sentinel names the new master");
    cluster.until_published().await
}
