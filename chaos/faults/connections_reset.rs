//! All connections between replicas and Redis are reset, again and again. Each is back within
//! milliseconds, and a liveness channel that is heard again by the second look costs no leadership.

use super::prelude::*;

const TIMES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) const FAULT: Fault = Fault {
    number: 17,
    name: "connections-reset",
    title: "connections reset, again and again",
    layout: Layout { proxied: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    let before: u64 = redis.connections_received().await?;
    cluster.begins("all connections to Redis are reset, again and again");
    for _ in 0..TIMES {
        for replica in cluster.pollers.iter().chain(&cluster.gateways) {
            replica.path()?.cut();
        }
        cluster.pass(PAUSE).await;
    }
    let again = redis.connections_received().await? - before;
    if again < u64::from(TIMES) {
        return Err(Unknown(format!("only {again} connections were made anew")));
    }
    cluster.landed(&format!("{again} connections were made anew"));
    cluster.healed("connections last");
    cluster.until_published().await
}
