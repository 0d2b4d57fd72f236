//! The leader's wall clock goes an hour ahead and a standby's an hour back: nothing depends on them.

use super::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) const FAULT: Fault = Fault {
    number: 31,
    name: "replica-clocks-off",
    title: "wall clocks of replicas ± 1 h",
    layout: Layout { clocks: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let leader = cluster.leader().await?;
    let [standby, ..] = cluster.standbys().await?[..] else {
        return Err(Unknown("there is no standby".to_owned()));
    };
    cluster.begins("an hour ahead, and an hour back");
    leader.clock()?.set_wall_ahead(HOUR);
    standby.clock()?.set_wall_back(HOUR);
    cluster.until_wall_clock_read(leader).await?;
    cluster.landed("the leader has read the clock that is off");
    cluster.pass(cluster.timing.lease()).await;
    leader.clock()?.set_wall_ahead(Duration::ZERO);
    standby.clock()?.set_wall_ahead(Duration::ZERO);
    cluster.healed("clocks are right");
    cluster.until_published().await
}
