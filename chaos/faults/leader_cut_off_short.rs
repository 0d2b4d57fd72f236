//! The leader and Redis lose each other's packets for about half the renew deadline, again and again. What
//! it sent meanwhile arrives late, before or after what it sent again over a new connection: it takes effect
//! once. It still leads.

use super::prelude::*;

/// For which share of the renew deadline: for longer than the leader waits for an answer.
const SHARE: f64 = 0.55;
/// Whether TCP tries again before or after the leader itself does is a matter of milliseconds.
const TIMES: usize = 4;

pub(crate) const FAULT: Fault = Fault {
    number: 12,
    name: "leader-cut-off-short",
    title: "leader cut off from Redis for less than D",
    bound: |_| Bound::Level(1500),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    for _ in 0..TIMES {
        cluster.begins(&format!("{} and Redis hear nothing of each other", leader.name()));
        cluster.net.cut(leader.name(), &cluster.redis.addresses()).await?;
        cluster.pass(cluster.timing.deadline().mul_f64(SHARE)).await;
        cluster.until_dropped(leader.name()).await?;
        cluster.net.heal(leader.name()).await?;
        cluster.healed("packets pass");
        cluster.until_published().await?;
        // It renews the lease meanwhile.
        cluster.pass(cluster.timing.lease() / 2).await;
    }
    Ok(())
}
