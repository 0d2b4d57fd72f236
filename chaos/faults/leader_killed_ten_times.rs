//! Ten leaders are killed in a row: each kill costs one change, and none the next takeover.

use super::prelude::*;

const TIMES: usize = 10;

pub(crate) const FAULT: Fault = Fault {
    number: 3,
    name: "leader-killed-ten-times",
    title: "leader killed ten times in a row",
    bound: |_| Bound::Takeover(300),
    changes: |_| TIMES,
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    for _ in 0..TIMES {
        cluster.until_alive().await?;
        let leader = cluster.leader().await?;
        cluster.begins(&format!("SIGKILL to {}", leader.name()));
        leader.kill().await?;
        cluster.landed("the process has ended");
        cluster.until_leads_other_than(leader.name()).await?;
        leader.start().await?;
        cluster.healed("it runs again");
    }
    Ok(())
}
