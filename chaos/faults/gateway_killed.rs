//! A gateway dies under half of five thousand clients. They come to the other one, and all are level
//! again within five seconds.

use super::prelude::*;

const CLIENTS: usize = 5000;

pub(crate) const FAULT: Fault = Fault {
    number: 36,
    name: "gateway-killed",
    title: "gateway killed under 5,000 clients",
    bound: |_| Bound::Level(5000),
    layout: Layout { crowd: CLIENTS, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let [gateway, ..] = &cluster.gateways[..] else {
        return Err(Unknown("there is no gateway".to_owned()));
    };
    let held = cluster.readers.connected().get(gateway.name()).copied().unwrap_or_default();
    cluster.begins(&format!("SIGKILL to {}", gateway.name()));
    gateway.kill().await?;
    cluster.landed(&format!("{held} clients have lost their gateway"));
    // From here on it is up to the other one.
    cluster.healed("its clients may go to the other one");
    cluster.until_published().await?;
    gateway.start().await
}
