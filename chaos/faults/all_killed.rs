//! Nobody is left to take over, for two lease durations. The first that is back leads at once.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 6,
    name: "all-killed",
    title: "all pollers down for 2 T",
    changes: |_| 1,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins("SIGKILL to all pollers");
    for replica in &cluster.pollers {
        replica.kill().await?;
    }
    cluster.landed("the processes have ended");
    cluster.pass(cluster.timing.lease() * 2).await;
    for replica in &cluster.pollers {
        replica.start().await?;
    }
    cluster.healed("all run again");
    cluster.until_published().await
}
