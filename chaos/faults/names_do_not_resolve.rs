//! The name server is away for two lease durations. Connections that are open go on, to Redis as to the
//! backend.

use super::prelude::*;

pub(crate) const FAULT: Fault = Fault {
    number: 19,
    name: "names-do-not-resolve",
    title: "names do not resolve for 2 T",
    layout: Layout { named: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let names = cluster.names()?;
    cluster.begins("the name server stops");
    names.stop().await?;
    cluster.landed("the name server has ended");
    cluster.pass(cluster.timing.lease() * 2).await;
    cluster.until_published().await?;
    names.start().await?;
    cluster.healed("names resolve");
    cluster.until_published().await
}
