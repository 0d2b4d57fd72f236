//! The leader and Redis lose each other's packets. It stops by itself at its renew deadline, a standby
//! takes over when the lease ends, and what is still in its sockets comes too late when they meet again.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 12,
    name: "leader-cut-off",
    title: "leader cut off from Redis",
    bound: |timing| Bound::Takeover(timing.lease_ms + 100),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("{} and Redis hear nothing of each other", leader.name()));
    cluster.net.cut(leader.name(), &cluster.redis.addresses()).await?;
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.until_dropped(leader.name()).await?;
    cluster.pass(cluster.timing.retry()).await;
    cluster.net.heal(leader.name()).await?;
    cluster.healed("packets pass");
    cluster.until_published().await
}
