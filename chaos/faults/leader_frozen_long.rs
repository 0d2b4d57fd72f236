//! The leader is frozen for longer than its lease lasts. Its connections stay open, so nobody can tell
//! until the lease ends; what it still sends when it wakes is fenced.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 4,
    name: "leader-frozen-long",
    title: "leader frozen longer than T, then woken",
    bound: |timing| Bound::Takeover(timing.lease_ms + 100),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("SIGSTOP to {}", leader.name()));
    leader.freeze().await?;
    cluster.landed("the process is in state T");
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.pass(Duration::from_secs(1)).await;
    leader.wake().await?;
    cluster.healed("it is awake");
    cluster.until_published().await
}
