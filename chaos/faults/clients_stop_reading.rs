//! One client in twenty stops reading. It gets the newest when it reads again, or was left; the others
//! notice nothing.

use super::prelude::*;

const CLIENTS: usize = 200;

pub(crate) const FAULT: Fault = Fault {
    number: 35,
    name: "clients-stop-reading",
    title: "one client in twenty stops reading",
    layout: Layout { crowd: CLIENTS, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let before = skipped(cluster).await?;
    cluster.begins("one client in twenty stops reading");
    cluster.readers.stall();
    let full = || async { (skipped(cluster).await.ok()? > before).then_some(()) };
    cluster.holds(Duration::from_secs(60), "publications are skipped for them", full).await?;
    cluster.landed("publications are skipped for them");
    cluster.pass(Duration::from_secs(3)).await;
    cluster.readers.resume();
    cluster.healed("they read again");
    cluster.until_published().await
}

/// How many publications clients were not given since they were too slow, or were left for that.
async fn skipped(cluster: &Cluster) -> Outcome<f64> {
    let mut skipped = 0.0;
    for gateway in &cluster.gateways {
        skipped += gateway.metric("pollux_gateway_conflated_total", "").await?;
        skipped += gateway.metric("pollux_gateway_closed_total", "slow").await?;
    }
    Ok(skipped)
}
