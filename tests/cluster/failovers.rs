use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::common::client::SseClient;
use super::common::history::{assert_one_writer_at_a_time, history};
use super::common::nginx::Nginx;
use super::common::redis_cluster::RedisCluster;
use super::common::replica::{Replica, leader};
use super::common::sentinel::{MASTER, replicated};
use super::common::{eventually, is_missing};
use super::outages::all_hold;
use super::{ENDPOINTS, configuration_with, gateways, start_replicas};

/// Replicas that lead and serve, and clients that hold the first data.
async fn running(redis: &str, nginx: &Nginx) -> (Vec<Replica>, Vec<SseClient>) {
    write(nginx, "before");
    let replicas = start_replicas(&configuration_with(redis, nginx)).await;
    leader(&replicas, Duration::from_secs(10)).await;
    let clients: Vec<SseClient> =
        (0..6).map(|number| SseClient::follow(gateways(&replicas), number, &ENDPOINTS)).collect();
    all_hold(&clients, "before").await;
    (replicas, clients)
}

fn write(nginx: &Nginx, key: &str) {
    for name in ENDPOINTS {
        nginx.write(name, &json!({ key: name }).to_string());
    }
}

fn assert_no_client_went_back(clients: &[SseClient]) {
    for client in clients {
        let versions = client.seen().versions;
        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_go_on_after_sentinel_has_replaced_a_killed_master() {
    if is_missing("nginx") {
        return;
    }
    let (mut master, promoted, sentinel) = replicated().await;
    let nginx = Nginx::start().await;
    let redis = format!("sentinel: {{ master: {MASTER}, nodes: \"127.0.0.1:{}\" }}", sentinel.port);
    let (replicas, clients) = running(&redis, &nginx).await;

    master.kill().await;
    write(&nginx, "after");
    sentinel.names(promoted.port).await;
    all_hold(&clients, "after").await;
    leader(&replicas, Duration::from_secs(5)).await;
    assert_one_writer_at_a_time(&history(&promoted).await);

    // It comes back empty and as a master, until Sentinel makes it a replica.
    master.restart().await;
    write(&nginx, "returned");
    all_hold(&clients, "returned").await;
    assert_no_client_went_back(&clients);
    assert_one_writer_at_a_time(&history(&promoted).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_go_on_after_sentinel_has_replaced_a_frozen_master() {
    if is_missing("nginx") {
        return;
    }
    let (master, promoted, sentinel) = replicated().await;
    let nginx = Nginx::start().await;
    let redis = format!("sentinel: {{ master: {MASTER}, nodes: \"127.0.0.1:{}\" }}", sentinel.port);
    let (replicas, clients) = running(&redis, &nginx).await;

    master.signal(Signal::STOP);
    write(&nginx, "after");
    sentinel.names(promoted.port).await;
    all_hold(&clients, "after").await;
    leader(&replicas, Duration::from_secs(5)).await;

    // It goes on as a master, with the clients that it had.
    master.signal(Signal::CONT);
    write(&nginx, "returned");
    all_hold(&clients, "returned").await;
    assert_no_client_went_back(&clients);
    assert_one_writer_at_a_time(&history(&promoted).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_master_that_sentinel_has_replaced_is_left_before_it_is_demoted() {
    if is_missing("nginx") {
        return;
    }
    let (master, promoted, sentinel) = replicated().await;
    let nginx = Nginx::start().await;
    let redis = format!("sentinel: {{ master: {MASTER}, nodes: \"127.0.0.1:{}\" }}", sentinel.port);
    let (replicas, clients) = running(&redis, &nginx).await;
    let leading = leader(&replicas, Duration::from_secs(5)).await;

    let _: String = sentinel.ask(&["FAILOVER", MASTER]).await;
    sentinel.names(promoted.port).await;
    // Sentinel demotes it ten seconds later.
    eventually(Duration::from_secs(5), "the leader has claimed on the new master", || async {
        let mut connection = promoted.connection().await;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.ok()?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?.to_owned();
        let claimed: Option<String> = redis::cmd("HGET")
            .arg("{pollux:test}:leader")
            .arg("run_id")
            .query_async(&mut connection)
            .await
            .ok()?;
        (claimed? == run_id).then_some(())
    })
    .await;
    write(&nginx, "after");
    all_hold(&clients, "after").await;
    assert_no_client_went_back(&clients);
    assert_eq!(leader(&replicas, Duration::from_secs(5)).await, leading);
    drop(master);
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_go_on_after_the_slot_has_moved() {
    if is_missing("nginx") {
        return;
    }
    let (cluster, nginx) = (RedisCluster::start().await, Nginx::start().await);
    let key = "{pollux:test}:lease";
    let from = cluster.owner(key).await;
    let to = (from + 1) % 3;
    let redis = format!("cluster: [\"127.0.0.1:{}\"]", cluster.servers[from].port);
    let (replicas, clients) = running(&redis, &nginx).await;

    cluster.migrate(key, from, to).await;
    write(&nginx, "after");
    all_hold(&clients, "after").await;
    leader(&replicas, Duration::from_secs(5)).await;
    assert_no_client_went_back(&clients);
    assert_one_writer_at_a_time(&history(&cluster.servers[to]).await);
}
