//! The backends of two endpoints answer 429 and ask to be left alone, one for three seconds, one until a
//! date three seconds ahead: they are.

use super::prelude::*;

const REST: Duration = Duration::from_secs(3);
const FAILURES: [(&str, Failure); 2] =
    [("steady", Failure::RetryAfter(REST)), ("fast", Failure::RetryAfterDate(REST))];

pub(crate) const FAULT: Fault = Fault {
    number: 34,
    name: "backend-asks-for-rest",
    title: "backend answers 429 with Retry-After",
    // What is left of the rest, and a second for gateways to be level.
    bound: |_| Bound::Level(4000),
    made: Made::Here(|cluster| Box::pin(inject(cluster))),
    ..Fault::HARMLESS
};

async fn inject(cluster: &Cluster) -> Outcome<()> {
    cluster.begins("two backends answer 429");
    for (endpoint, failure) in FAILURES {
        cluster.backend.fail(endpoint, failure);
        let since = cluster.history.now();
        let asked = || async { cluster.backend.was_asked_since(since, endpoint).then_some(()) };
        cluster.holds(Duration::from_secs(10), "it has said so", asked).await?;
    }
    cluster.landed("a poll of each was answered so");
    // So that it is asked, and says so, a second time.
    cluster.pass(REST + Duration::from_secs(1)).await;
    for (endpoint, _) in FAILURES {
        cluster.backend.heal(endpoint);
    }
    cluster.healed("the backends answer");
    cluster.until_published().await
}
