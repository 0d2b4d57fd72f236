//! All pollers are restarted, one after another, whoever leads. Each leader hands over; nobody crashes.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 8,
    name: "rolling-restart",
    title: "rolling restart",
    bound: |_| Bound::HandOver(50),
    changes: |_| address::POLLERS.len(),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    // The leader goes first, which is the most changes that one restart of all can cost.
    let mut order = vec![cluster.leader().await?];
    order.extend(cluster.standbys().await?);
    for replica in order {
        cluster.begins(&format!("SIGTERM to {}", replica.name()));
        replica.terminate().await?;
        cluster.landed("it has exited with status 0");
        replica.start().await?;
        cluster.healed("it runs again");
        cluster.until_alive().await?;
    }
    Ok(())
}
