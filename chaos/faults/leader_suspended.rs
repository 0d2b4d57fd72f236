//! The leader's machine is suspended for longer than the lease lasts, and its network wakes a little after
//! it. Its monotonic clock says that no time has passed. Only `CLOCK_BOOTTIME` went on meanwhile, and the
//! deadline with it: nothing is polled until the lease is held again.
//!
//! A machine cannot be suspended here. A frozen process that has no network, and a monotonic clock that is
//! set back by as long as it was frozen, sees the same.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 4,
    name: "leader-suspended",
    title: "leader's machine suspended longer than T",
    bound: |timing| Bound::Takeover(timing.lease_ms + 100),
    changes: |_| 1,
    layout: Layout { clocks: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    let clock = leader.clock()?;
    let since = Instant::now();
    cluster.begins(&format!("{} is suspended", leader.name()));
    leader.freeze().await?;
    cluster.net.cut(leader.name(), &cluster.redis.addresses()).await?;
    cluster.until_leads_other_than(leader.name()).await?;
    cluster.pass(Duration::from_secs(1)).await;
    let read_before = clock.monotonic_calls();
    clock.suspend(since.elapsed());
    leader.wake().await?;
    let reads = || async { (clock.monotonic_calls() > read_before).then_some(()) };
    cluster
        .holds(Duration::from_secs(5), "the leader reads the clock that stood still", reads)
        .await?;
    cluster.landed("the leader has read a clock that stood still");
    cluster.pass(cluster.timing.retry()).await;
    cluster.net.heal(leader.name()).await?;
    cluster.healed("it is awake, and so is its network");
    cluster.until_published().await
}
