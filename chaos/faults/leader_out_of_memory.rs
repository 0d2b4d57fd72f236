//! The leader's memory runs out and the kernel ends it, which is a crash like any other.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 11,
    name: "leader-out-of-memory",
    title: "leader out of memory",
    bound: |_| Bound::Takeover(300),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    leader.limit_memory().await?;
    leader.until_ended().await?;
    // The clock runs from its death: before, it leads.
    cluster.begins(&format!("{} is out of memory", leader.name()));
    cluster.landed(&leader.killed_for_memory()?);
    cluster.until_leads_other_than(leader.name()).await?;
    leader.start().await?;
    cluster.healed("it runs again");
    Ok(())
}
