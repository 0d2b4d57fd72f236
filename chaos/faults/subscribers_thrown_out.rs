//! Redis throws out every subscriber to whom a large publication is sent, for it has next to no room for
//! what they have not read: gateways subscribe again, read what they missed, and are thrown out again.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 30,
    name: "subscribers-thrown-out",
    title: "Pub/Sub client thrown out by buffer limits",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    let setting = "client-output-buffer-limit";
    let known: Vec<String> = redis.command(&["CONFIG", "GET", setting]).await?;
    let before = known.last().cloned().unwrap_or_default();
    let subscribers = redis.subscribers().await?;
    cluster.begins("next to no room for what subscribers have not read");
    let _: String = redis.command(&["CONFIG", "SET", setting, "pubsub 4096 4096 1"]).await?;
    let replaced = || async {
        let now = redis.subscribers().await.ok()?;
        let gone = subscribers.iter().filter(|id| !now.contains(id)).count();
        (gone > 0).then_some(gone)
    };
    let gone = cluster.holds(Duration::from_secs(10), "subscribers are gone", replaced).await?;
    cluster.landed(&format!("{gone} subscribers were thrown out"));
    cluster.pass(Duration::from_secs(3)).await;
    let _: String = redis.command(&["CONFIG", "SET", setting, &before]).await?;
    cluster.healed("there is room again");
    cluster.until_published().await
}
