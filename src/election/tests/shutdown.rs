use std::time::Duration;

use super::cluster::{MARGIN, advance, cluster};
use super::faulty::{Fault, Method};
use crate::store::Store as _;

/// How long a replica may take to leave that cannot finish what it began.
const PROMPT: Duration = Duration::from_millis(600);
const HANGS: Fault = Fault::SlowRequest(Duration::from_secs(3600));
const FAILS: Fault = Fault::RequestLost(Duration::ZERO);

#[tokio::test(start_paused = true)]
async fn a_standby_leaves_at_once_whatever_it_waits_for() {
    for method in [Method::Observe, Method::Acquire, Method::Subscribe] {
        for fault in [HANGS, FAILS] {
            let mut cluster = cluster(1);
            cluster.store(0).plan(move |called, _| match called {
                _ if called == method => Some(fault),
                Method::Acquire => Some(FAILS),
                _ => None,
            });
            advance(Duration::from_millis(2_345)).await;
            assert!(cluster.shut_down(0).await <= MARGIN, "{method:?} {fault:?}");
            cluster.finish().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_of_a_held_lease_leaves_at_once() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(2_345)).await;
    let standby = cluster.other_than(leader);
    assert!(cluster.shut_down(standby).await <= MARGIN);
    assert_eq!(cluster.acting(), [leader]);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_claim_leaves_promptly() {
    for fault in [HANGS, FAILS, Fault::ReplyLost(Duration::ZERO)] {
        let mut cluster = cluster(1);
        cluster.store(0).every(Method::Claim, fault);
        advance(Duration::from_millis(345)).await;
        assert!(cluster.shut_down(0).await <= PROMPT, "{fault:?}");
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_answered_during_the_shutdown_is_given_back() {
    let mut cluster = cluster(1);
    let slow = Fault::SlowReply(Duration::from_millis(300));
    cluster.store(0).once(Method::Claim, 1, slow);
    advance(Duration::from_millis(100)).await;
    cluster.shut_down(0).await;
    assert_eq!(cluster.server.observe().await.unwrap().held_for, None);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_leaves_at_once_even_while_a_renewal_hangs() {
    for fault in [HANGS, FAILS] {
        let mut cluster = cluster(1);
        cluster.leader().await;
        cluster.store(0).every(Method::Renew, fault);
        advance(Duration::from_millis(2_345)).await;
        assert!(cluster.shut_down(0).await <= MARGIN, "{fault:?}");
        assert_eq!(cluster.server.observe().await.unwrap().held_for, None);
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_tries_to_release_until_its_deadline() {
    for fault in [HANGS, FAILS] {
        let mut cluster = cluster(1);
        cluster.leader().await;
        cluster.store(0).every(Method::Release, fault);
        let tries = cluster.store(0).count(Method::Release);
        advance(Duration::from_millis(2_345)).await;
        let left_after = cluster.shut_down(0).await;
        assert!(left_after <= cluster.lease.renew_deadline, "{left_after:?}");
        assert!(cluster.store(0).count(Method::Release) > tries);
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_reply_was_lost_is_repeated() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    let lost = Fault::ReplyLost(Duration::from_millis(100));
    cluster.store(leader).once(Method::Release, 1, lost);
    cluster.shut_down(leader).await;
    assert_eq!(cluster.store(leader).count(Method::Release), 2);
    assert_eq!(cluster.leader().await, cluster.other_than(leader));
    cluster.finish().await;
}
