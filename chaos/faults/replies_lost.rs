//! For half the renew deadline Redis gets what the leader sends, and the leader gets no answer. Whether
//! a publication took effect is then unknown, and has to be found out; the lease must not be given up,
//! least of all by its owner.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 13,
    name: "replies-lost",
    title: "only the replies to the leader are lost",
    bound: |_| Bound::Level(1500),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("{} hears nothing of Redis", leader.name()));
    cluster.net.drop_from(leader.name(), &cluster.redis.addresses()).await?;
    cluster.pass(cluster.timing.deadline() / 2).await;
    cluster.until_dropped(leader.name()).await?;
    cluster.net.heal(leader.name()).await?;
    cluster.healed("packets pass");
    cluster.until_published().await
}
