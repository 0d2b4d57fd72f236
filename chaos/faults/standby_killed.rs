//! A standby dies: nobody else notices.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 7,
    name: "standby-killed",
    title: "standby killed",
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let [standby, ..] = cluster.standbys().await?[..] else {
        return Err(Unknown("there is no standby to kill".to_owned()));
    };
    cluster.begins(&format!("SIGKILL to {}", standby.name()));
    standby.kill().await?;
    cluster.landed("the process has ended");
    cluster.until_published().await?;
    standby.start().await?;
    cluster.healed("it runs again");
    cluster.until_published().await
}
