use std::time::Duration;

use super::cluster::{MARGIN, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};
use crate::model::Announcement;
use crate::store::{Channel, Store as _};

/// Long enough that nothing depends on when the first claim was.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn after_a_fail_over_the_same_leader_goes_on_under_a_new_term() {
    for led_for in [Duration::from_millis(100), LONG] {
        let cluster = cluster(3);
        let leader = cluster.leader().await;
        advance(led_for).await;
        let term = cluster.term();
        cluster.server.fail_over();
        wait_for("a new term", TAKEOVER, || cluster.term() > term).await;
        advance(LONG).await;
        assert_eq!(cluster.acting(), [leader]);
        assert_eq!(cluster.leaderships(), 2);
        cluster.finish().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_everything_is_left_to_its_leader() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(LONG).await;
    cluster.server.restart_empty();
    // The leader is the last to notice.
    cluster.store(leader).once(Method::Renew, 1, Fault::SlowRequest(Duration::from_millis(900)));
    advance(LONG).await;
    assert_eq!(cluster.acting(), [leader]);
    assert_eq!(cluster.leaderships(), 2);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_promoted_replica_that_never_got_the_lease_is_given_it_by_the_leader() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(LONG).await;
    cluster.server.evict_lease();
    cluster.server.fail_over();
    advance(LONG).await;
    assert_eq!(cluster.acting(), [leader]);
    assert_eq!(cluster.leaderships(), 2);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_store_whose_leader_died_with_it_is_taken_after_two_retry_periods() {
    let mut cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(LONG).await;
    cluster.kill(leader);
    cluster.server.restart_empty();
    let waited = wait_for("a successor", LONG, || cluster.leaderships() == 2).await;
    let left = cluster.lease.retry_period * 2;
    assert!((left..=left + TAKEOVER).contains(&waited), "{waited:?}");
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_goes_on_though_its_new_claim_fails_for_a_while() {
    let cluster = cluster(3);
    let leader = cluster.leader().await;
    advance(LONG).await;
    cluster.store(leader).plan(|method, number| {
        (method == Method::Claim && number <= 5).then_some(Fault::RequestLost(Duration::ZERO))
    });
    cluster.server.fail_over();
    advance(LONG).await;
    assert_eq!(cluster.acting(), [leader]);
    assert_eq!(cluster.leaderships(), 2);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_claim_that_keeps_failing_is_given_up_at_the_renew_deadline() {
    let mut cluster = cluster(1);
    cluster.leader().await;
    advance(LONG).await;
    cluster.store(0).every(Method::Claim, Fault::RequestLost(Duration::ZERO));
    let renewed = cluster.store(0).last_answered(Method::Renew);
    cluster.server.fail_over();
    cluster.join();
    wait_for("a successor", LONG, || cluster.leaderships() == 2).await;
    assert_eq!(cluster.acting(), [1]);
    assert!(
        renewed.elapsed() <= cluster.lease.duration + cluster.lease.retry_period * 2 + TAKEOVER
    );
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_fail_over_that_is_over_delays_no_takeover() {
    let mut cluster = cluster(3);
    let leader = cluster.leader().await;
    cluster.server.fail_over();
    advance(LONG).await;
    cluster.shut_down(leader).await;
    wait_for("a successor", MARGIN, || cluster.leaderships() == 3).await;
    let dead = cluster.leader().await;
    cluster.kill(dead);
    let limit = cluster.lease.duration + TAKEOVER;
    wait_for("a second successor", limit, || cluster.leaderships() == 4).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn terms_grow_though_the_store_lost_them_and_its_clock_went_back() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(LONG).await;
    for _ in 0..2 {
        cluster.server.turn_clock_back(LONG * 60);
        cluster.server.restart_empty();
        advance(LONG).await;
    }
    assert_eq!(cluster.leaderships(), 3);
    cluster.kill(leader);
    advance(cluster.lease.duration + TAKEOVER).await;
    assert_eq!(cluster.leaderships(), 4);
    // It checks that the terms grew.
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_claims_above_a_term_that_it_only_heard_of() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    let standby = cluster.other_than(leader);
    advance(LONG).await;
    cluster.store(leader).once(Method::Claim, 1, Fault::SlowRequest(Duration::from_millis(100)));
    cluster.server.turn_clock_back(LONG * 60);
    cluster.server.fail_over();
    advance(Duration::from_millis(50)).await;
    // From here on, the standby reads nothing: it hears of the new claim.
    cluster.store(standby).every(Method::Observe, Fault::RequestLost(Duration::ZERO));
    advance(Duration::from_millis(100)).await;
    assert_eq!(cluster.leaderships(), 2);
    cluster.kill(leader);
    cluster.server.restart_empty();
    cluster.store(standby).heal();
    wait_for("a successor", LONG, || cluster.leaderships() == 3).await;
    // It checks that the terms grew.
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_term_is_not_led_twice_when_its_server_is_back() {
    let cluster = cluster(2);
    cluster.leader().await;
    advance(LONG).await;
    let first = cluster.server.server();
    cluster.server.fail_over();
    advance(Duration::from_secs(2)).await;
    assert_eq!(cluster.leaderships(), 2);
    cluster.server.fail_back(first);
    wait_for("a new term", TAKEOVER, || cluster.leaderships() == 3).await;
    // It checks that the terms grew.
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_leader_that_gave_the_lease_back_before_the_fail_over() {
    let mut cluster = cluster(2);
    let leader = cluster.leader().await;
    // Not a whole number of leases: the release is what it hears first.
    advance(LONG + Duration::from_millis(2_345)).await;
    let standby = cluster.other_than(leader);
    cluster.freeze(standby);
    cluster.shut_down(leader).await;
    cluster.server.fail_over();
    assert_eq!(cluster.leaderships(), 1);
    cluster.thaw(standby);
    wait_for("a successor", MARGIN, || cluster.leaderships() == 2).await;
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_claim_exceeds_the_stored_term_though_its_replica_saw_none() {
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.server.turn_clock_back(LONG * 60);
    cluster.usurp().await;
    let record = cluster.server.observe().await.unwrap().record.unwrap();
    assert!(record.term > cluster.term());
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_term_was_passed_elsewhere_claims_a_higher_one() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    advance(Duration::from_millis(500)).await;
    let elsewhere = cluster.term() + 1_000_000;
    let claimed = Announcement::Claimed { term: elsewhere, replica: "elsewhere".into() };
    cluster.server.announce(&claimed).await.unwrap();
    wait_for("a higher term", TAKEOVER, || cluster.term() > elsewhere).await;
    assert_eq!(cluster.leader().await, leader);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_tells_a_leader_that_its_term_was_passed_elsewhere() {
    let cluster = cluster(2);
    let leader = cluster.leader().await;
    let (deaf, elsewhere) = (cluster.store(leader), cluster.term() + 1_000_000);
    deaf.every(Method::Subscribe, Fault::RequestLost(Duration::ZERO));
    deaf.cut(|channel| *channel == Channel::Leadership);
    let claimed = Announcement::Claimed { term: elsewhere, replica: "elsewhere".into() };
    cluster.server.announce(&claimed).await.unwrap();
    advance(Duration::from_secs(2)).await;
    assert!(cluster.term() < elsewhere, "it did not hear");
    deaf.heal();
    let within = Duration::from_secs(1) + cluster.lease.retry_period + MARGIN;
    wait_for("a higher term", within, || cluster.term() > elsewhere).await;
    assert_eq!(cluster.leader().await, leader);
    cluster.finish().await;
}
