use std::time::Duration;

use rustix::process::Signal;

use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, free_port};
use super::{DEADLINE, configuration, json_backend};

async fn becomes_ready(replica: &Replica) {
    eventually(DEADLINE, "the replica is ready", || async {
        (replica.admin_status("/readyz").await == Some(200)).then_some(())
    })
    .await;
}

fn role(role: &'static str) -> impl FnOnce(&mut std::process::Command) {
    move |command| {
        command.args(["--role", role]);
    }
}

#[tokio::test]
async fn every_role_is_live_but_not_ready_before_redis_answers() {
    let redis = format!("redis: {{ url: \"redis://127.0.0.1:{}\" }}\n", free_port());
    let configuration = configuration("http://127.0.0.1:1/", &redis);
    for name in ["poller", "gateway", "all"] {
        let replica = Replica::start_with(name, &configuration, role(name)).await;
        assert_eq!(replica.admin_status("/livez").await, Some(200), "{name}");
        assert_eq!(replica.admin_status("/readyz").await, Some(503), "{name}");
    }
}

#[tokio::test]
async fn leader_standby_and_gateway_are_ready_and_stay_so_through_an_outage() {
    let mut redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let configuration = configuration(&backend.url("/"), &more);
    let pollers = [
        Replica::start_with("castor", &configuration, role("poller")).await,
        Replica::start_with("pollux", &configuration, role("poller")).await,
    ];
    let gateway = Replica::start_with("helena", &configuration, role("gateway")).await;
    leader(&pollers, DEADLINE).await;
    for replica in pollers.iter().chain([&gateway]) {
        becomes_ready(replica).await;
    }
    redis.kill().await;
    for replica in &pollers {
        eventually(DEADLINE, "the outage is noticed", || async {
            (replica.metric("pollux_redis_failures_total", "").await > 1.0).then_some(())
        })
        .await;
    }
    for replica in pollers.iter().chain([&gateway]) {
        assert_eq!(replica.admin_status("/livez").await, Some(200), "{}", replica.name);
        assert_eq!(replica.admin_status("/readyz").await, Some(200), "{}", replica.name);
    }
}

#[tokio::test]
async fn a_gateway_is_ready_without_any_leader() {
    let redis = RedisServer::start().await;
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let configuration = configuration("http://127.0.0.1:1/", &more);
    let gateway = Replica::start_with("helena", &configuration, role("gateway")).await;
    becomes_ready(&gateway).await;
}

#[tokio::test]
async fn a_leaving_replica_is_live_and_no_longer_ready() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let mut replica = Replica::start("castor", &configuration(&backend.url("/"), &more)).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    becomes_ready(&replica).await;
    // Frozen, so that handing over takes its time.
    redis.signal(Signal::STOP);
    replica.signal(Signal::TERM);
    eventually(Duration::from_secs(2), "it is no longer ready", || async {
        (replica.admin_status("/readyz").await == Some(503)).then_some(())
    })
    .await;
    assert_eq!(replica.admin_status("/livez").await, Some(200));
    redis.signal(Signal::CONT);
    assert!(replica.process.ended(DEADLINE).await.success());
}
