use std::time::Duration;

use super::cluster::{Cluster, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};

/// How many calls of a method go wrong, one in each run, at both replicas.
const CALLS: usize = 4;
/// Beyond every deadline, so that whoever waits for it must have given up.
const LONG: Duration = Duration::from_secs(20);

const FAULTS: [Fault; 11] = [
    Fault::RequestLost(Duration::ZERO),
    Fault::RequestLost(Duration::from_millis(500)),
    Fault::ReplyLost(Duration::ZERO),
    Fault::ReplyLost(Duration::from_millis(500)),
    Fault::SlowRequest(Duration::from_millis(500)),
    Fault::SlowRequest(Duration::from_secs(5)),
    Fault::SlowRequest(LONG),
    Fault::SlowReply(Duration::from_millis(500)),
    Fault::SlowReply(Duration::from_secs(5)),
    Fault::Late(Duration::from_millis(500)),
    Fault::Late(Duration::from_secs(5)),
];

/// How long the fault lasts.
fn length(fault: Fault) -> Duration {
    match fault {
        Fault::RequestLost(after)
        | Fault::ReplyLost(after)
        | Fault::SlowRequest(after)
        | Fault::SlowReply(after)
        | Fault::Late(after)
        | Fault::TimedOut { effect: after, .. } => after,
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_call_fails_in_whatever_way_one_leads_soon_after() {
    for method in Method::ALL {
        for fault in FAULTS {
            for number in 1..=CALLS {
                let case = format!("{method:?} {number}: {fault:?}");
                let cluster = cluster(2);
                for store in cluster.stores() {
                    store.once(method, number, fault);
                }
                live_through_a_handover(cluster, length(fault), &case).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_method_fails_for_ten_seconds_one_leads_soon_after() {
    for method in Method::ALL {
        for fault in FAULTS {
            let case = format!("{method:?}: {fault:?}");
            let cluster = cluster(2);
            advance(Duration::from_millis(1_234)).await;
            for store in cluster.stores() {
                store.every(method, fault);
            }
            advance(Duration::from_secs(10)).await;
            cluster.heal();
            live_through_a_handover(cluster, length(fault), &case).await;
        }
    }
}

/// Lets a cluster get a leader, lose it, and get another.
async fn live_through_a_handover(mut cluster: Cluster, fault: Duration, case: &str) {
    let soon = fault + cluster.lease.duration + cluster.lease.retry_period + TAKEOVER;
    advance(fault).await;
    wait_for(case, soon, || cluster.acting().len() == 1).await;
    advance(Duration::from_millis(3_500)).await;
    if let [leader] = *cluster.acting() {
        cluster.shut_down(leader).await;
    }
    advance(soon).await;
    wait_for(case, soon, || cluster.acting().len() == 1).await;
    let term = cluster.term();
    advance(Duration::from_secs(8)).await;
    assert_eq!(cluster.acting().len(), 1, "{case}");
    assert_eq!(cluster.term(), term, "{case}");
    cluster.finish().await;
}
