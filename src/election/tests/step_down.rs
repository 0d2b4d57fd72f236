use std::time::Duration;

use super::cluster::{MARGIN, TAKEOVER, advance, cluster, wait_for};
use crate::store::Store as _;

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_asked_to_step_down_lets_others_go_first() {
    let cluster = cluster(3);
    for _ in 0..10 {
        let leader = cluster.leader().await;
        advance(Duration::from_millis(700)).await;
        let before = cluster.leaderships();
        cluster.server.request_step_down(cluster.term()).await.unwrap();
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
        cluster.server.request_step_down(other).await.unwrap();
    }
    advance(Duration::from_secs(10)).await;
    assert_eq!(cluster.leaderships(), 1);
    cluster.finish().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_standby_leads_again_after_two_retry_periods() {
    let cluster = cluster(1);
    cluster.leader().await;
    cluster.server.request_step_down(cluster.term()).await.unwrap();
    let wait = cluster.lease.retry_period * 2;
    let took = wait_for("it leads again", wait + TAKEOVER, || cluster.leaderships() == 2).await;
    assert!(took >= wait);
    cluster.finish().await;
}
