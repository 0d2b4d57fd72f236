use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::time::Instant;

use super::cluster::{MARGIN, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};
use super::ground::STEP;
use crate::store::{Channel, Store as _};

/// Counts why leaderships ended, as far as this thread sees.
fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().build_recorder()
}

/// Panics unless exactly one leadership ended, and for this reason.
fn assert_ended(recorder: &PrometheusRecorder, reason: &str) {
    let rendered = recorder.handle().render();
    let lost = "pollux_leadership_lost_total{";
    let ends: Vec<&str> = rendered.lines().filter(|line| line.starts_with(lost)).collect();
    assert_eq!(ends, [format!("{lost}reason=\"{reason}\"}} 1")]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_acts_until_the_renew_deadline_and_no_longer() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = cluster(1);
    cluster.leader().await;
    advance(Duration::from_millis(2_345)).await;
    cluster.store(0).plan(|method, _| match method {
        Method::Renew => Some(Fault::RequestLost(Duration::from_millis(70))),
        // What is under way at the end takes its time.
        Method::Publish => Some(Fault::SlowReply(Duration::from_millis(200))),
        // Or else it would lead again at once.
        Method::Release => Some(Fault::RequestLost(Duration::ZERO)),
        _ => None,
    });
    let deadline = cluster.store(0).last_answered(Method::Renew) + cluster.lease.confirmed_for();
    advance(cluster.lease.confirmed_for()).await;
    let last = cluster.ground.last_act(0).unwrap().at;
    assert!(last < deadline && deadline - last <= STEP, "{:?}", deadline - last);
    advance(Duration::from_secs(1)).await;
    assert_ended(&recorder, "deadline");
    assert_eq!(cluster.view(0).leading, None);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_leader_missed_the_deadline_is_given_back_as_soon_as_the_store_answers() {
    let cluster = cluster(2);
    let first = cluster.leader().await;
    // Renewals arrive and extend the lease, but no answer comes back.
    cluster.store(first).plan(|method, _| match method {
        Method::Renew => Some(Fault::ReplyLost(Duration::ZERO)),
        _ => None,
    });
    let term = cluster.term();
    let within = cluster.lease.confirmed_for() + MARGIN;
    wait_for("a new term", within, || cluster.term() > term).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_when_a_renewal_was_sent() {
    let cluster = cluster(1);
    cluster.leader().await;
    let slow = Duration::from_millis(900);
    cluster.store(0).plan(move |method, number| match (method, number) {
        (Method::Renew, 1) => Some(Fault::SlowReply(slow)),
        (Method::Renew | Method::Release, _) => Some(Fault::RequestLost(Duration::ZERO)),
        _ => None,
    });
    advance(Duration::from_secs(7)).await;
    let renewed = cluster.store(0).last_answered(Method::Renew);
    let acted_for = cluster.ground.last_act(0).unwrap().at - renewed;
    let deadline = cluster.lease.confirmed_for();
    assert!(acted_for < deadline && deadline - acted_for <= STEP, "{acted_for:?}");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_ends_the_leadership() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.server.evict_lease();
    let term = cluster.term();
    wait_for("a new term", cluster.lease.retry_period + MARGIN, || cluster.term() > term).await;
    assert_ended(&recorder, "lost");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_claim_that_is_announced_ends_the_leadership_at_once() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = cluster(1);
    cluster.leader().await;
    // What the publisher would find out is not what this is about.
    cluster.store(0).every(Method::Publish, Fault::RequestLost(Duration::ZERO));
    advance(Duration::from_millis(500)).await;
    cluster.usurp().await;
    wait_for("nobody acts", MARGIN, || cluster.acting().is_empty()).await;
    assert_ended(&recorder, "fenced");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_claim_that_cannot_be_confirmed_is_settled_by_a_renewal_at_once() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.store(0).plan(|method, number| {
        (method == Method::Publish || method == Method::Observe && number == 1)
            .then_some(Fault::RequestLost(Duration::ZERO))
    });
    advance(Duration::from_millis(500)).await;
    cluster.usurp().await;
    wait_for("nobody acts", MARGIN, || cluster.acting().is_empty()).await;
    assert_ended(&recorder, "lost");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_is_refused_ends_the_leadership() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let cluster = cluster(1);
    cluster.leader().await;
    // Neither announcements nor renewals can tell it.
    cluster.store(0).plan(|method, _| {
        matches!(method, Method::Subscribe | Method::Renew)
            .then_some(Fault::RequestLost(Duration::ZERO))
    });
    cluster.store(0).cut(|channel| *channel == Channel::Leadership);
    advance(Duration::from_millis(500)).await;
    cluster.usurp().await;
    wait_for("nobody acts", Duration::from_millis(150), || cluster.acting().is_empty()).await;
    assert_ended(&recorder, "fenced");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_stall_shorter_than_the_renew_deadline_costs_no_leadership() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    for stall in [500, 1_000, 2_000, 2_900, 3_900].map(Duration::from_millis) {
        advance(Duration::from_millis(3_210)).await;
        cluster.cut_off();
        advance(stall).await;
        cluster.heal();
    }
    advance(Duration::from_secs(10)).await;
    assert_eq!(cluster.acting(), [leader]);
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_starts_after_the_liveness_channel_is_lost_until_a_renewal_is_held() {
    let cluster = cluster(1);
    cluster.leader().await;
    advance(Duration::from_millis(500)).await;
    cluster.store(0).every(Method::Renew, Fault::RequestLost(Duration::ZERO));
    let cut = Instant::now();
    cluster.store(0).cut(|channel| matches!(channel, Channel::Alive(_)));
    advance(Duration::from_secs(2)).await;
    assert!(cluster.ground.last_act(0).unwrap().at <= cut);
    cluster.store(0).heal();
    wait_for("it acts again", cluster.lease.retry_period + MARGIN, || cluster.acting() == [0])
        .await;
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_renewal_sent_before_the_liveness_channel_was_lost_does_not_count() {
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.store(0).plan(|method, number| match (method, number) {
        (Method::Renew, 1) => Some(Fault::SlowReply(Duration::from_millis(200))),
        (Method::Renew, _) => Some(Fault::RequestLost(Duration::ZERO)),
        _ => None,
    });
    let renewals = cluster.store(0).count(Method::Renew);
    wait_for("a renewal under way", Duration::from_secs(2), || {
        cluster.store(0).count(Method::Renew) > renewals
    })
    .await;
    advance(Duration::from_millis(100)).await;
    let cut = Instant::now();
    cluster.store(0).cut(|channel| matches!(channel, Channel::Alive(_)));
    advance(Duration::from_secs(1)).await;
    assert!(cluster.ground.last_act(0).unwrap().at <= cut);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_liveness_channel_that_is_back_at_once_costs_no_leadership() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    for _ in 0..20 {
        advance(Duration::from_millis(1_234)).await;
        cluster.store(leader).cut(|channel| matches!(channel, Channel::Alive(_)));
        advance(MARGIN).await;
        assert_eq!(cluster.acting(), [leader]);
    }
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_frozen_leader_that_wakes_after_its_lease_does_nothing_more() {
    let cluster = cluster(3);
    let frozen = cluster.leader().await;
    advance(Duration::from_millis(2_500)).await;
    cluster.freeze(frozen);
    let asleep = Instant::now();
    advance(cluster.lease.duration + TAKEOVER).await;
    let successor = cluster.leader().await;
    let published = cluster.store(frozen).count(Method::Publish);
    cluster.thaw(frozen);
    advance(Duration::from_secs(3)).await;
    assert!(cluster.ground.last_act(frozen).unwrap().at <= asleep);
    assert!(cluster.store(frozen).count(Method::Publish) > published, "it did not try");
    assert_eq!(cluster.acting(), [successor]);
    assert_eq!(cluster.leaderships(), 2);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_arrives_after_the_next_claim_is_refused() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    let late = cluster.lease.duration * 2;
    cluster.store(leader).every(Method::Publish, Fault::Late(late));
    advance(Duration::from_millis(150)).await;
    cluster.kill(leader);
    advance(late * 2).await;
    assert_eq!(cluster.leaderships(), 2);
    // It checks that versions took effect in order.
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_frozen_for_less_than_its_deadline_goes_on() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(2_500)).await;
    cluster.freeze(leader);
    advance(Duration::from_secs(3)).await;
    cluster.thaw(leader);
    advance(Duration::from_secs(10)).await;
    assert_eq!(cluster.acting(), [leader]);
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_shuts_down_gives_its_lease_back() {
    let recorder = recorder();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut cluster = cluster(1);
    cluster.leader().await;
    cluster.shut_down(0).await;
    let observation = cluster.server.observe().await.unwrap();
    assert_eq!(observation.held_for, None);
    assert_eq!(observation.record.unwrap().lease, "");
    assert_ended(&recorder, "released");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_answered_after_the_lease_has_passed_begins_nothing() {
    let cluster = cluster(2);
    let slow = cluster.lease.duration * 2;
    cluster.store(0).once(Method::Claim, 1, Fault::SlowReply(slow));
    advance(slow * 2).await;
    assert_eq!(cluster.acting(), [1]);
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_does_not_say_it_leads_once_it_may_not_act() {
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.store(0).plan(|method, _| match method {
        Method::Renew => Some(Fault::RequestLost(Duration::ZERO)),
        Method::Publish => Some(Fault::SlowRequest(Duration::from_secs(3600))),
        _ => None,
    });
    let limit = cluster.lease.confirmed_for() + MARGIN;
    wait_for("nobody acts", limit, || cluster.acting().is_empty()).await;
    assert_eq!(cluster.view(0).leading, None);
    cluster.finish().await;
}
