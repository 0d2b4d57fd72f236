//! What Redis and the replicas send each other comes in slices of a few bytes, and connections end in
//! the middle of a reply: no reply is ever taken for that of another question.

use super::prelude::*;

const TIMES: u32 = 10;
const SLICE: usize = 97;

pub(crate) const FAULT: Fault = Fault {
    number: 18,
    name: "replies-sliced",
    title: "replies sliced and cut",
    layout: Layout { proxied: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let replicas: Vec<&Replica> = cluster.pollers.iter().chain(&cluster.gateways).collect();
    let redis = cluster.redis.primary().await?;
    let before: u64 = redis.connections_received().await?;
    cluster.begins("replies come in slices, and are cut");
    for replica in &replicas {
        replica.path()?.slice(Some(SLICE));
    }
    for _ in 0..TIMES {
        cluster.pass(cluster.timing.lease() / TIMES).await;
        for replica in &replicas {
            replica.path()?.cut();
        }
    }
    let again = redis.connections_received().await? - before;
    cluster.landed(&format!("{again} connections were made anew, each byte came in a slice"));
    for replica in &replicas {
        replica.path()?.slice(None);
    }
    cluster.healed("replies come whole");
    cluster.until_published().await
}
