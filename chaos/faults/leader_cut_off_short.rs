//! The leader and Redis lose each other's packets for half the renew deadline. What it sent meanwhile
//! arrives late, beside what it sent again over a new connection: it takes effect once. It still leads.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 12,
    name: "leader-cut-off-short",
    title: "leader cut off from Redis for less than D",
    bound: |_| Bound::Level(1500),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("{} and Redis hear nothing of each other", leader.name()));
    cluster.net.cut(leader.name(), &cluster.redis.addresses()).await?;
    cluster.pass(cluster.timing.deadline() / 2).await;
    cluster.until_dropped(leader.name()).await?;
    cluster.net.heal(leader.name()).await?;
    cluster.healed("packets pass");
    cluster.until_published().await
}
