//! Redis reads a dump, slowly, and answers nothing but that it is loading, for half the renew deadline.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 27,
    name: "redis-loading",
    title: "Redis loading a dump",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

/// How many keys the dump has beside those of the cluster.
const KEYS: u32 = 100;

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    let fill = format!("for i = 1, {KEYS} do redis.call('SET', 'filler:' .. i, i) end return 'OK'");
    let _: String = redis.command(&["EVAL", &fill, "0"]).await?;
    let delay = (cluster.timing.deadline() / 2 / KEYS).as_micros().to_string();
    let _: String = redis.command(&["CONFIG", "SET", "key-load-delay", &delay]).await?;
    // While loading it looks after its connections only once in so many bytes.
    let _: String =
        redis.command(&["CONFIG", "SET", "loading-process-events-interval-bytes", "1024"]).await?;
    cluster.begins("DEBUG RELOAD of a dump that takes long");
    redis.send(&["DEBUG", "RELOAD"]).await?;
    let loading = || async {
        let Err(Unknown(why)) = redis.command::<String>(&["GET", "filler:1"]).await else {
            return None;
        };
        why.to_lowercase().contains("loading").then_some(why)
    };
    let why = cluster.holds(Duration::from_secs(5), "Redis is loading", loading).await?;
    cluster.landed(&why);
    let loaded = || async { redis.command::<String>(&["GET", "filler:1"]).await.ok() };
    cluster.holds(cluster.timing.lease() * 2, "Redis has loaded", loaded).await?;
    cluster.healed("it is loaded");
    let _: String = redis.command(&["CONFIG", "SET", "key-load-delay", "0"]).await?;
    cluster.until_published().await
}
