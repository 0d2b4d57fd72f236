//! The gateways' connections are reset, and nothing changes any more while they are being made anew, on a
//! path that takes a while: what was published last came after the old subscription and before the new
//! one. Nothing later shows that it was missed.

use super::prelude::*;

const DELAY: Duration = Duration::from_millis(50);
/// How many connections a gateway makes: one to follow, and one to read.
const CONNECTIONS: u64 = 2;
/// How many ms later than the last of them contents change for the last time: while it is being set up, and
/// what was asked on the first has been answered.
const LATER: std::ops::Range<u64> = 80..160;

pub(crate) const FAULT: Fault = Fault {
    number: 17,
    name: "quiet-after-reset",
    title: "gateways' connections reset, then nothing changes",
    // Beside beats, which come once a second, nothing shows that one leads.
    bound: |_| Bound::Level(1500),
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
    let expected = before + CONNECTIONS * cluster.gateways.len() as u64;
    let again = || async {
        let received = redis.connections_received().await.ok()?;
        (received >= expected).then_some(received - before)
    };
    let again =
        cluster.holds(Duration::from_secs(10), "gateways are connected anew", again).await?;
    let later = fastrand::Rng::with_seed(cluster.seed).u64(LATER);
    cluster.pass(Duration::from_millis(later)).await;
    cluster.backend.hold();
    cluster.pass(Duration::from_secs(1)).await;
    cluster.landed(&format!("{again} connections were made anew"));
    for gateway in &cluster.gateways {
        gateway.path()?.delay(Duration::ZERO);
    }
    cluster.healed("the path is fast again");
    Ok(())
}
