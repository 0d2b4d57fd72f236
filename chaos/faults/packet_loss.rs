//! One packet in ten is lost, each way, at all replicas.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 16,
    name: "packet-loss",
    title: "10 % packet loss",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let replicas: Vec<&Replica> = cluster.pollers.iter().chain(&cluster.gateways).collect();
    cluster.begins("one packet in ten is lost");
    for replica in &replicas {
        cluster.net.lose(replica.name(), 0.1).await?;
    }
    cluster.pass(cluster.timing.lease()).await;
    for replica in &replicas {
        cluster.until_dropped(replica.name()).await?;
        cluster.net.heal(replica.name()).await?;
    }
    cluster.healed("packets pass");
    cluster.until_published().await
}
