use std::time::Duration;

use tokio::time::Instant;

use super::cluster::{Cluster, MARGIN, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};
use crate::store::{ACQUISITION, Channel, Store as _};

/// Fewer calls a second than this a replica makes that gets nowhere.
const CALM: usize = 20;

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once() {
    let cluster = cluster(1);
    wait_for("a leader", MARGIN, || cluster.acting() == [0]).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_leaves_a_held_lease_alone() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    let tries = cluster.store(cluster.other_than(leader)).count(Method::Acquire);
    advance(Duration::from_secs(600)).await;
    let standby = cluster.store(cluster.other_than(leader));
    assert_eq!(standby.count(Method::Acquire), tries);
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_succeeds_a_dead_leader_when_the_lease_ends() {
    for led_for in [0, 300, 999, 1_000, 1_001, 60_500].map(Duration::from_millis) {
        let mut cluster = cluster(3);
        let leader = cluster.leader().await;
        advance(led_for).await;
        cluster.kill(leader);
        let renewed = last_extended(&cluster, leader);
        wait_for("a successor", cluster.lease.duration * 2, || cluster.leaderships() == 2).await;
        assert!(renewed.elapsed() <= cluster.lease.duration + TAKEOVER, "{led_for:?}");
        cluster.finish().await;
    }
}

/// When `leader` last sent a claim or a renewal that was answered.
fn last_extended(cluster: &Cluster, leader: usize) -> Instant {
    let store = cluster.store(leader);
    let method = match store.count(Method::Renew) {
        0 => Method::Claim,
        _ => Method::Renew,
    };
    store.last_answered(method)
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let mut cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(2_500)).await;
    cluster.shut_down(leader).await;
    wait_for("a successor", MARGIN, || cluster.leaderships() == 2).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_was_not_heard_costs_no_more_than_a_crash() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    let standby = cluster.other_than(leader);
    cluster.store(standby).every(Method::Subscribe, Fault::RequestLost(Duration::ZERO));
    cluster.store(standby).cut(|_| true);
    advance(Duration::from_millis(2_500)).await;
    let renewed = last_extended(&cluster, leader);
    cluster.shut_down(leader).await;
    wait_for("a successor", cluster.lease.duration, || cluster.leaderships() == 2).await;
    assert!(renewed.elapsed() <= cluster.lease.duration + Duration::from_secs(1));
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_acquisition_whose_reply_was_lost_costs_a_second() {
    let cluster = cluster(1);
    cluster.store(0).once(Method::Acquire, 1, Fault::ReplyLost(Duration::ZERO));
    wait_for("a leader", ACQUISITION + MARGIN, || cluster.acting() == [0]).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_reply_was_lost_is_repeated_and_gets_the_same_term() {
    let cluster = cluster(2);
    for store in cluster.stores() {
        store.once(Method::Claim, 1, Fault::ReplyLost(Duration::from_millis(300)));
    }
    let leader = cluster.leader().await;
    assert_eq!(cluster.store(leader).count(Method::Claim), 2);
    assert_eq!(claimed_terms(&cluster).await, [cluster.term()]);
    cluster.finish().await;
}

/// The terms that were claimed, the newest first.
async fn claimed_terms(cluster: &Cluster) -> Vec<u64> {
    let survey = cluster.server.survey().await.unwrap();
    survey.timeline.iter().map(|entry| entry.term).collect()
}

#[tokio::test(start_paused = true)]
async fn an_absent_store_is_asked_calmly_until_it_is_there() {
    let cluster = cluster(2);
    cluster.cut_off();
    assert_calm(&cluster).await;
    assert!(cluster.view(0).store_error.is_some());
    cluster.heal();
    wait_for("a leader", cluster.lease.retry_period + MARGIN, || cluster.acting().len() == 1).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_looks_free_but_cannot_be_taken_is_tried_calmly() {
    for fault in [Fault::RequestLost(Duration::ZERO), Fault::ReplyLost(Duration::ZERO)] {
        let cluster = cluster(1);
        cluster.store(0).every(Method::Acquire, fault);
        assert_calm(&cluster).await;
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_can_be_taken_but_not_claimed_is_tried_calmly() {
    let cluster = cluster(1);
    let server = cluster.server.clone();
    cluster.store(0).plan(move |method, _| {
        if method == Method::Claim {
            server.evict_lease();
        }
        None
    });
    assert_calm(&cluster).await;
    cluster.store(0).heal();
    wait_for("a leader", cluster.lease.retry_period + MARGIN, || cluster.acting() == [0]).await;
    cluster.finish().await;
}

/// Panics if a replica gives up or spins.
async fn assert_calm(cluster: &Cluster) {
    let start = Instant::now();
    advance(Duration::from_secs(60)).await;
    for store in cluster.stores() {
        let calls = store.calls_since(start);
        let calm = (60..60 * CALM).contains(&calls);
        assert!(calm, "{calls} calls in a minute");
    }
}

#[tokio::test(start_paused = true)]
async fn a_standby_that_cannot_subscribe_leads_all_the_same() {
    let cluster = cluster(1);
    cluster.store(0).every(Method::Subscribe, Fault::SlowRequest(Duration::from_secs(3600)));
    wait_for("a leader", Duration::from_secs(1), || cluster.acting() == [0]).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn of_three_replicas_one_leads_through_a_row_of_deaths() {
    let mut cluster = cluster(3);
    for _ in 0..10 {
        let leader = cluster.leader().await;
        advance(Duration::from_millis(1_500)).await;
        assert_eq!(cluster.acting(), [leader]);
        cluster.kill(leader);
        cluster.join();
        advance(cluster.lease.duration + TAKEOVER).await;
    }
    assert_eq!(cluster.leaderships(), 11);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_hears_announcements_however_long_a_subscription_takes() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    let standby = cluster.other_than(leader);
    cluster.store(standby).every(Method::Subscribe, Fault::SlowReply(Duration::from_millis(300)));
    cluster.store(standby).cut(|channel| *channel == Channel::Leadership);
    advance(Duration::from_secs(1)).await;
    cluster.store(standby).heal();
    let asked = cluster.store(standby).count(Method::Observe);
    cluster.shut_down(leader).await;
    wait_for("a successor", MARGIN, || cluster.leaderships() == 2).await;
    assert!(cluster.store(standby).count(Method::Observe) <= asked + 1, "it was told");
    cluster.finish().await;
}
