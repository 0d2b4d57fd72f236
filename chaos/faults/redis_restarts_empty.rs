//! Redis dies and starts again with nothing. The leader claims a new term that is above the old one, and
//! brings all snapshots back, those whose backend says 304 too: it asks without validators.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 21,
    name: "redis-restarts-empty",
    title: "Redis restarts empty",
    // The longest interval, and a second for gateways to be level.
    bound: |_| Bound::Level(2000),
    reclaims: 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    cluster.begins("SIGKILL to Redis");
    redis.kill().await?;
    redis.start().await?;
    cluster.landed("it is empty, under another run id");
    cluster.until_redis_answers().await?;
    cluster.healed("it runs again");
    cluster.until_published().await
}
