use std::time::Duration;

use super::cluster::{Cluster, MARGIN, TAKEOVER, advance, cluster, wait_for};
use super::faulty::{Fault, Method};
use crate::model::Announcement;
use crate::store::Store as _;

async fn ask(cluster: &Cluster, term: u64) {
    let request = Announcement::StepDown { term, abdicates: false };
    cluster.server.announce(&request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_asked_to_step_down_lets_others_go_first() {
    let cluster = cluster(3);
    for _ in 0..10 {
        let leader = cluster.leader().await;
        advance(Duration::from_millis(700)).await;
        let before = cluster.leaderships();
        ask(&cluster, cluster.term()).await;
        wait_for("a successor", MARGIN, || cluster.leaderships() > before).await;
        assert_ne!(cluster.leader().await, leader);
    }
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_means_another_term_is_not_for_this_leader() {
    let cluster = cluster(2);
    cluster.leader().await;
    for other in [0, cluster.term() - 1, cluster.term() + 1] {
        ask(&cluster, other).await;
    }
    advance(Duration::from_secs(10)).await;
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_standby_leads_again_after_two_retry_periods() {
    let cluster = cluster(1);
    cluster.leader().await;
    ask(&cluster, cluster.term()).await;
    let wait = cluster.lease.retry_period * 2;
    let took = wait_for("it leads again", wait + TAKEOVER, || cluster.leaderships() == 2).await;
    assert!(took >= wait);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn why_a_lease_was_given_back_is_in_the_timeline() {
    let mut cluster = cluster(1);
    let expiry = cluster.lease.duration * 2;
    cluster.leader().await;
    for abdicates in [false, true] {
        let (term, before) = (cluster.term(), cluster.leaderships());
        let request = Announcement::StepDown { term, abdicates };
        cluster.server.announce(&request).await.unwrap();
        wait_for("it leads again", expiry, || cluster.leaderships() > before).await;
    }
    let before = cluster.leaderships();
    cluster.store(0).plan(|method, _| match method {
        Method::Renew => Some(Fault::RequestLost(Duration::ZERO)),
        _ => None,
    });
    wait_for("it leads again", expiry, || cluster.leaderships() > before).await;
    cluster.store(0).plan(|_, _| None);
    cluster.shut_down(0).await;
    let timeline = cluster.server.survey().await.unwrap().timeline;
    let released = timeline.iter().rev().filter(|entry| entry.event == "released");
    let causes: Vec<_> = released.map(|entry| &*entry.cause).collect();
    assert_eq!(causes, ["asked", "abdicated", "deadline", "shutdown"]);
    cluster.finish().await;
}
