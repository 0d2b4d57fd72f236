use std::time::Duration;

use super::cluster::{
    MARGIN, TAKEOVER, advance, cluster, cluster_with, cluster_without_probes, wait_for,
};
use super::faulty::{Fault, Method};
use crate::config::LeaseConfig;
use crate::store::{ACQUISITION, Channel, Store as _};

/// A probe, its confirmation, and the takeover itself.
const SEEN: Duration = Duration::from_millis(100 + 50);

#[tokio::test(start_paused = true)]
async fn a_crash_is_seen_at_once_however_long_the_lease_is() {
    for seconds in [6, 60] {
        let lease =
            LeaseConfig { duration: Duration::from_secs(seconds), ..LeaseConfig::default() };
        for led_for in [5, 300, 999, 1_001, 60_500].map(Duration::from_millis) {
            let mut cluster = cluster_with(3, lease);
            let leader = cluster.leader().await;
            advance(led_for).await;
            cluster.kill(leader);
            let within = SEEN + MARGIN;
            wait_for("a successor", within, || cluster.leaderships() == 2).await;
            cluster.finish().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_timeline_tells_a_crash_from_a_lease_that_ended() {
    for (mut cluster, cause) in [(cluster(2), "crashed"), (cluster_without_probes(2), "expired")] {
        let leader = cluster.leader().await;
        advance(Duration::from_secs(1)).await;
        cluster.kill(leader);
        wait_for("a successor", cluster.lease.duration * 2, || cluster.leaderships() == 2).await;
        let timeline = cluster.server.survey().await.unwrap().timeline;
        assert_eq!(timeline[0].cause, cause);
        if cause == "crashed" {
            assert!(timeline[0].gap <= 200, "{timeline:?}");
        }
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_probes_nobody_asks_before_the_lease_ends() {
    let mut cluster = cluster_without_probes(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(1_500)).await;
    let standby = cluster.other_than(leader);
    cluster.kill(leader);
    let asked = cluster.store(standby).count(Method::Observe);
    let held_for = cluster.server.observe().await.unwrap().held_for.unwrap();
    let took = wait_for("a successor", held_for + TAKEOVER, || cluster.leaderships() == 2).await;
    assert!(took >= held_for);
    assert!(cluster.store(standby).count(Method::Observe) <= asked + 2);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_keeps_its_lease_until_it_ends() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(500)).await;
    cluster.freeze(leader);
    let held_for = cluster.server.observe().await.unwrap().held_for.unwrap();
    let took = wait_for("a successor", held_for + TAKEOVER, || cluster.leaderships() == 2).await;
    assert!(took >= held_for);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_liveness_connection_that_breaks_costs_nothing() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    for pause in [1, 90, 100, 700, 3_000].map(Duration::from_millis) {
        advance(pause).await;
        cluster.store(leader).cut(|channel| matches!(channel, Channel::Alive(_)));
        wait_for("it acts again", MARGIN, || cluster.acting() == [leader]).await;
    }
    advance(cluster.lease.duration).await;
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_subscribe_again_takes_itself_out_of_judgement() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(500)).await;
    cluster.store(leader).every(Method::Subscribe, Fault::RequestLost(Duration::from_millis(500)));
    cluster.store(leader).cut(|channel| matches!(channel, Channel::Alive(_)));
    advance(Duration::from_secs(30)).await;
    assert_eq!(cluster.leaderships(), 1);

    // Once it can, it is probed again.
    cluster.store(leader).heal();
    let probed = || async {
        let record = cluster.server.observe().await.unwrap().record;
        record.is_some_and(|record| !record.alive.is_empty())
    };
    while !probed().await {
        advance(Duration::from_millis(10)).await;
    }
    advance(Duration::from_millis(10)).await;
    cluster.kill(leader);
    wait_for("a successor", SEEN + MARGIN, || cluster.leaderships() == 2).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_liveness_connection_that_is_silently_dead_is_replaced() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    let subscriptions = cluster.store(leader).count(Method::Subscribe);
    advance(Duration::from_secs(60)).await;
    assert_eq!(cluster.store(leader).count(Method::Subscribe), subscriptions);
    cluster.store(leader).mute(|channel| matches!(channel, Channel::Alive(_)));
    wait_for("a new subscription", cluster.lease.retry_period * 2 + MARGIN, || {
        cluster.store(leader).count(Method::Subscribe) > subscriptions
    })
    .await;
    advance(Duration::from_secs(60)).await;
    assert_eq!(cluster.store(leader).count(Method::Subscribe), subscriptions + 1);
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_death_between_acquisition_and_claim_costs_the_acquisition_and_no_lease() {
    let lease = LeaseConfig { duration: Duration::from_secs(60), ..LeaseConfig::default() };
    let mut cluster = cluster_with(2, lease);
    let first = cluster.leader().await;
    let second = cluster.other_than(first);
    let third = cluster.join();
    advance(Duration::from_millis(300)).await;
    // The second acquires, and dies before it can claim.
    cluster.store(third).every(Method::Acquire, Fault::RequestLost(Duration::ZERO));
    cluster.store(second).every(Method::Claim, Fault::RequestLost(Duration::from_millis(500)));
    cluster.shut_down(first).await;
    wait_for("the claim", MARGIN, || cluster.store(second).count(Method::Claim) == 1).await;
    cluster.kill(second);
    cluster.store(third).heal();
    wait_for("a successor", ACQUISITION + TAKEOVER, || cluster.leaderships() == 2).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_reaped_while_it_lives_stops_at_once() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(1_200)).await;
    // From one moment to the next it can neither subscribe nor renew, but still publish.
    cluster.store(leader).plan(|method, number| {
        let once = method == Method::Renew && number <= 3;
        (method == Method::Subscribe || once)
            .then_some(Fault::RequestLost(Duration::from_millis(90)))
    });
    cluster.store(leader).cut(|channel| matches!(channel, Channel::Alive(_)));
    wait_for("a successor", SEEN + MARGIN, || cluster.leaderships() == 2).await;
    wait_for("one acts", MARGIN, || cluster.acting() == [cluster.other_than(leader)]).await;
    cluster.finish().await;
}
