//! The gateways' connections are reset, and nothing changes any more while they are being made anew, on a
//! path that takes a while: what was published last came after the old subscription and before the new
//! one. Nothing later shows that it was missed.

use super::prelude::*;

const DELAY: Duration = Duration::from_millis(20);
/// By when a gateway is somewhere between its first request and its subscription.
const BETWEEN: std::ops::Range<u64> = 150..350;

pub(crate) const FAULT: Fault = Fault {
    number: 17,
    name: "quiet-after-reset",
    title: "gateways' connections reset, then nothing changes",
    layout: Layout { proxied: true, ..Layout::PLAIN },
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let redis = cluster.redis.primary().await?;
    for gateway in &cluster.gateways {
        gateway.path()?.delay(DELAY);
    }
    cluster.until_published().await?;
    let before: u64 = redis.connections_received().await?;
    cluster
        .begins("the gateways' connections are reset, and the backend's contents stay as they are");
    for gateway in &cluster.gateways {
        gateway.path()?.cut();
    }
    let later = fastrand::Rng::with_seed(cluster.seed).u64(BETWEEN);
    cluster.pass(Duration::from_millis(later)).await;
    cluster.backend.hold();
    cluster.pass(Duration::from_secs(1)).await;
    let again = redis.connections_received().await? - before;
    if again < cluster.gateways.len() as u64 {
        return Err(Unknown(format!("only {again} connections were made anew")));
    }
    cluster.landed(&format!("{again} connections were made anew"));
    for gateway in &cluster.gateways {
        gateway.path()?.delay(Duration::ZERO);
    }
    cluster.healed("the path is fast again");
    Ok(())
}
