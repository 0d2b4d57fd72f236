//! Redis is full and takes no data. The lease is kept, for renewals write nothing new; readers are told
//! that what they have is stale; and when there is room again, publications go on by themselves.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 25,
    name: "redis-full",
    title: "Redis full",
    bound: |_| Bound::Level(2000),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    cluster.begins("maxmemory 1");
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await?;
    match redis.command::<String>(&["SET", "landed", "no"]).await {
        Err(Unknown(why)) if why.contains("OOM") => cluster.landed(&why),
        other => return Err(Unknown(format!("Redis still takes data: {other:?}"))),
    }
    // Until readers have been told.
    cluster.pass(cluster.stale_after() + Duration::from_secs(2)).await;
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await?;
    cluster.healed("maxmemory 0");
    cluster.until_published().await
}
