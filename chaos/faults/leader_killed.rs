//! The leader's process ends at once and says goodbye to nobody. Standbys find its liveness channel
//! without a subscriber, twice, and take the lease away.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 1,
    name: "leader-killed",
    title: "leader killed",
    bound: |_| Bound::Takeover(300),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("SIGKILL to {}", leader.name()));
    leader.kill().await?;
    cluster.landed("the process has ended");
    cluster.until_leads_other_than(leader.name()).await?;
    leader.start().await?;
    cluster.healed("it runs again");
    Ok(())
}
