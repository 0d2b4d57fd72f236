//! Redis starts again with what it held a while ago, and the backend's contents are what they were then.
//! Readers hold newer publications, which Redis has lost: everything is published anew, above those,
//! although it is what Redis holds.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 21,
    name: "redis-goes-back",
    title: "Redis restarts with an old dump",
    // The longest interval, and a second for gateways to be level.
    bound: |_| Bound::Level(2000),
    reclaims: 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    // Every endpoint is polled, and what it says is in Redis.
    cluster.backend.hold();
    cluster.pass(Duration::from_secs(2)).await;
    let _: String = redis.command(&["SAVE"]).await?;
    cluster.backend.release();
    cluster.until_published().await?;
    cluster.begins("Redis and the backend go back to what they held before");
    redis.kill().await?;
    cluster.backend.go_back();
    redis.start_with_its_dump().await?;
    cluster.landed("it holds what it had saved, under another run id");
    cluster.until_redis_answers().await?;
    cluster.healed("it runs again");
    Ok(())
}
