//! The leader gets SIGTERM, as a deleted pod does: it publishes what it has, gives the lease back, and
//! the standbys hear of it.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 2,
    name: "leader-stopped",
    title: "leader stopped",
    bound: |_| Bound::HandOver(50),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("SIGTERM to {}", leader.name()));
    leader.terminate().await?;
    cluster.landed("it has exited with status 0");
    cluster.until_leads_other_than(leader.name()).await?;
    leader.start().await?;
    cluster.healed("it runs again");
    Ok(())
}
