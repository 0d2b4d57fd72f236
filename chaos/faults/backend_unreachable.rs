//! The leader alone cannot reach the backend. It notes so in its presence, and hands over once, after
//! three rounds of ten seconds, since the standbys can.

use super::prelude::*;

/// Three rounds of ten seconds, one that is under way, and a connection that is given up after two.
const BOUND_MS: u64 = 45_000;

pub(crate) const FAULT: Fault = Fault {
    number: 20,
    name: "backend-unreachable",
    title: "leader alone cannot reach the backend",
    bound: |_| Bound::Takeover(BOUND_MS),
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("{} cannot reach the backend", leader.name()));
    cluster.net.cut(leader.name(), &[address::BACKEND]).await?;
    let within = Duration::from_millis(BOUND_MS) + Duration::from_secs(10);
    cluster.until_leads_other_than_within(leader.name(), within).await?;
    cluster.until_dropped(leader.name()).await?;
    cluster.net.heal(leader.name()).await?;
    cluster.healed("packets pass");
    cluster.until_published().await
}
