//! The leader is frozen for half its renew deadline: it wakes in time to renew, and still leads.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 5,
    name: "leader-frozen-short",
    title: "leader frozen shorter than D",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("SIGSTOP to {}", leader.name()));
    leader.freeze().await?;
    cluster.landed("the process is in state T");
    cluster.pass(cluster.timing.deadline() / 2).await;
    leader.wake().await?;
    cluster.healed("it is awake");
    cluster.until_published().await
}
