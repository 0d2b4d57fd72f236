//! One endpoint's backend answers 429 and asks to be left alone for three seconds: it is.

use super::prelude::*;

const ENDPOINT: &str = "steady";
const REST: Duration = Duration::from_secs(3);

pub(crate) const FAULT: Fault = Fault {
    number: 34,
    name: "backend-asks-for-rest",
    title: "backend answers 429 with Retry-After",
    // What is left of the rest, and a second for gateways to be level.
    bound: |_| Bound::Level(5000),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins(&format!("the backend of {ENDPOINT} answers 429"));
    cluster.backend.fail(ENDPOINT, Failure::RetryAfter(REST));
    let since = cluster.history.now();
    let asked = || async { cluster.backend.was_asked_since(since, ENDPOINT).then_some(()) };
    cluster.holds(Duration::from_secs(10), "it has said so", asked).await?;
    cluster.landed("a poll was answered so");
    cluster.pass(REST * 2).await;
    cluster.backend.heal(ENDPOINT);
    cluster.healed("the backend answers");
    cluster.until_published().await
}
