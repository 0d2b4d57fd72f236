//! Whatever the leader and Redis send each other arrives a lease duration late: renewals extend nothing
//! any more, and publications arrive under a leader that was replaced long ago.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 15,
    name: "redis-slow-above",
    title: "Redis slow for the leader, by more than D",
    bound: |timing| Bound::Takeover(timing.lease_ms + 100),
    // One per lease duration, for as long as it lasts.
    changes: |_| 3,
    layout: Layout { proxied: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("everything between {} and Redis is late", leader.name()));
    leader.path()?.delay(cluster.timing.lease());
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.landed("another leads, since renewals came too late");
    // What was sent before the leader stopped arrives by now.
    cluster.pass(cluster.timing.lease()).await;
    leader.path()?.delay(Duration::ZERO);
    cluster.healed("everything comes at once");
    cluster.until_published().await
}
