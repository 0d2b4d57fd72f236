//! Redis answers late, then for half the renew deadline not at all: nobody loses the lease.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 15,
    name: "redis-slow-below",
    title: "Redis slow, for less than D",
    layout: Layout { proxied: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins("answers of Redis come late, then for a while none");
    for replica in &cluster.pollers {
        replica.path()?.delay(Duration::from_millis(50));
        replica.path()?.jitter(Duration::from_millis(50));
    }
    cluster.pass(cluster.timing.lease()).await;
    for replica in &cluster.pollers {
        replica.path()?.block();
    }
    cluster.until_silent().await?;
    cluster.pass(cluster.timing.deadline() / 2).await;
    for replica in &cluster.pollers {
        replica.path()?.delay(Duration::ZERO);
        replica.path()?.jitter(Duration::ZERO);
        replica.path()?.unblock();
    }
    cluster.healed("answers come at once");
    cluster.until_published().await
}
