//! The leader gets two thousandths of a processor. Whether that is enough to lead is not promised; that
//! it acts within its lease alone is.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 10,
    name: "leader-starved",
    title: "leader starved of CPU for 2 T",
    bound: |_| Bound::None,
    changes: |_| 1,
    // How soon a reader is told is up to the processor as well.
    spared: &[Invariant::Isolation],
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    cluster.begins(&format!("two thousandths of a processor for {}", leader.name()));
    leader.limit_cpu(0.002).await?;
    cluster.pass(cluster.timing.lease() * 2).await;
    cluster.landed(&leader.throttled()?);
    leader.unlimit_cpu().await?;
    cluster.healed("no limit");
    cluster.until_published().await
}
