//! One endpoint's backend is slow, fails, sends too much, rubbish, or half of what it announced. The last
//! good snapshot stays, and the other endpoints notice nothing.

use super::prelude::*;

const EACH: Duration = Duration::from_secs(1);
const ENDPOINT: &str = "steady";

pub(crate) const FAULT: Fault = Fault {
    number: 33,
    name: "backend-misbehaves",
    title: "backend slow, failing, huge, malformed, half-sent",
    // An open breaker waits ten intervals at most, and then a second for gateways to be level.
    bound: |_| Bound::Level(3500),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    let failures = [
        Failure::Slow(EACH),
        Failure::Status(500),
        Failure::Huge,
        Failure::Malformed,
        Failure::HalfSent,
        Failure::Reset,
    ];
    cluster.begins(&format!("the backend of {ENDPOINT} misbehaves"));
    for failure in failures {
        cluster.backend.fail(ENDPOINT, failure);
        let since = cluster.history.now();
        let asked = || async { cluster.backend.was_asked_since(since, ENDPOINT).then_some(()) };
        cluster.holds(Duration::from_secs(10), "it has failed so", asked).await?;
        cluster.pass(EACH).await;
    }
    cluster.landed("a poll has met each kind of failure");
    cluster.backend.heal(ENDPOINT);
    cluster.healed("the backend answers");
    cluster.until_published().await
}
