//! Both standbys lose Redis for a whole lease duration, and nobody else notices.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 14,
    name: "standbys-cut-off",
    title: "standbys cut off from Redis",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let standbys = cluster.standbys().await?;
    cluster.begins("the standbys and Redis hear nothing of each other");
    for standby in &standbys {
        cluster.net.cut(standby.name(), &cluster.redis.addresses()).await?;
    }
    cluster.pass(cluster.timing.lease()).await;
    for standby in &standbys {
        cluster.until_dropped(standby.name()).await?;
        cluster.net.heal(standby.name()).await?;
    }
    cluster.healed("packets pass");
    cluster.until_published().await
}
