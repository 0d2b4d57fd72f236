//! Redis's clock jumps ahead by a lease duration, so that the lease ends at once. Two may believe that
//! they lead until the old one hears of the new one; one takes effect.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 32,
    name: "redis-clock-jumps",
    title: "Redis's clock jumps ahead by T",
    bound: |timing| Bound::Level(timing.lease_ms + 100),
    changes: |_| 1,
    layout: Layout { clocks: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    let before = redis.time_ms().await?;
    cluster.begins("Redis's clock jumps ahead");
    redis.clock()?.set_wall_ahead(cluster.timing.lease());
    let after = redis.time_ms().await?;
    if after < before + cluster.timing.lease_ms {
        return Err(Unknown("Redis does not read the clock that was set".to_owned()));
    }
    cluster.landed(&format!("TIME is {} ms later", after - before));
    cluster.healed("it goes on from there");
    cluster.until_published().await
}
