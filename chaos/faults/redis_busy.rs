//! A script runs for half the renew deadline: Redis answers nothing but that it is busy.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 27,
    name: "redis-busy",
    title: "Redis busy with a script",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    let _: String = redis.command(&["CONFIG", "SET", "busy-reply-threshold", "50"]).await?;
    cluster.begins("a script that does not end");
    redis.send(&["EVAL", "while true do end", "0"]).await?;
    let busy = || async {
        let Err(Unknown(why)) = redis.command::<String>(&["PING"]).await else { return None };
        why.contains("BUSY").then_some(why)
    };
    let why = cluster.holds(Duration::from_secs(5), "Redis is busy", busy).await?;
    cluster.landed(&why);
    cluster.pass(cluster.timing.deadline() / 2).await;
    let _: String = redis.command(&["SCRIPT", "KILL"]).await?;
    cluster.healed("the script was ended");
    cluster.until_published().await
}
