//! SIGTERM: exit status 0, within the drain time, whatever is under way.

use std::time::Duration;

use rustix::process::Signal;

use super::backend::{Backend, Reply, answer};
use super::common::client::SseClient;
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, configuration, json_backend};

const DRAIN: Duration = Duration::from_secs(5);

async fn leaves(replica: &mut Replica) {
    replica.signal(Signal::TERM);
    let status = replica.process.ended(DRAIN).await;
    assert!(status.success(), "{status}: {}", replica.log());
    assert!(replica.logged("left").is_some(), "{}", replica.log());
}

#[tokio::test]
async fn a_standby_leaves_and_the_leader_goes_on() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\ndrain: 5s\n", redis.url());
    let configuration = configuration(&backend.url("/"), &more);
    let mut replicas = vec![
        Replica::start("castor", &configuration).await,
        Replica::start("pollux", &configuration).await,
    ];
    let leading = leader(&replicas, DEADLINE).await;
    eventually(DEADLINE, "the standby is ready", || async {
        (replicas[1 - leading].admin_status("/readyz").await == Some(200)).then_some(())
    })
    .await;
    leaves(&mut replicas[1 - leading]).await;
    assert_eq!(replicas[leading].metric("pollux_is_leader", "").await, 1.0);
    assert_eq!(replicas[leading].metric("pollux_leadership_lost_total", "").await, 0.0);
}

#[tokio::test]
async fn a_leader_leaves_with_open_streams_and_a_poll_that_is_not_answered() {
    let redis = RedisServer::start().await;
    let backend = Backend::listen(|head| match head.starts_with("GET /hanging") {
        true => Reply::BytesThenHang(Vec::new()),
        false => Reply::Bytes(answer("200 OK", &[], b"[1]")),
    })
    .await;
    let configuration = format!(
        "{}  - {{ name: hanging, url: \"{}\", every: 60s, timeout: 60s }}\n",
        configuration(
            &backend.url("/"),
            &format!("redis: {{ url: \"{}\" }}\ndrain: 5s\n", redis.url())
        ),
        backend.url("/hanging"),
    );
    let mut replica = Replica::start("castor", &configuration).await;
    let gateways = || vec![replica.gateway.clone()];
    let clients: Vec<SseClient> =
        (0..5).map(|_| SseClient::follow(gateways(), 0, &["a", "hanging"])).collect();
    eventually(DEADLINE, "every stream has data and the poll hangs", || async {
        let streaming = clients.iter().all(|client| !client.seen().versions.is_empty());
        let polled = backend.requests().iter().any(|head| head.starts_with("GET /hanging"));
        (streaming && polled).then_some(())
    })
    .await;
    leaves(&mut replica).await;
    for client in &clients {
        eventually(DEADLINE, "every stream ended with a hint", || async {
            (client.seen().hints_at_end == 1).then_some(())
        })
        .await;
    }
    assert!(replica.logged("leadership ended").is_some_and(|event| event["cause"] == "released"));
    let held: Option<Vec<u8>> = redis::cmd("GET")
        .arg("{pollux:test}:lease")
        .query_async(&mut redis.connection().await)
        .await
        .unwrap();
    assert_eq!(held, None, "the lease is given back");
}

#[tokio::test]
async fn a_replica_whose_redis_is_frozen_leaves_within_the_drain_time() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\ndrain: 2s\n", redis.url());
    let mut replica = Replica::start("castor", &configuration(&backend.url("/"), &more)).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    redis.signal(Signal::STOP);
    replica.signal(Signal::TERM);
    let status = replica.process.ended(Duration::from_secs(3)).await;
    redis.signal(Signal::CONT);
    assert!(status.success(), "{status}: {}", replica.log());
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\ndrain: 60s\n", redis.url());
    let mut replica = Replica::start("castor", &configuration(&backend.url("/"), &more)).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    redis.signal(Signal::STOP);
    replica.signal(Signal::TERM);
    eventually(DEADLINE, "it begins to leave", || async {
        replica.logged("leaving: handing over and ending streams")
    })
    .await;
    replica.signal(Signal::INT);
    let status = replica.process.ended(Duration::from_secs(2)).await;
    redis.signal(Signal::CONT);
    assert_eq!(status.code(), Some(1));
}
