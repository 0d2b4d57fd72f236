use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;

use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, http};
use super::{DEADLINE, configuration, json_backend};

/// Waits until the gateway serves `a`.
async fn served(replica: &Replica) -> Value {
    let url = format!("http://{}/v1/endpoints/a", replica.gateway);
    eventually(DEADLINE, "the gateway serves the endpoint", || async {
        let response = http().get(&url).send().await.ok()?;
        let body = (response.status() == 200).then_some(response.bytes())?.await.ok()?;
        serde_json::from_slice(&body).ok()
    })
    .await
}

#[tokio::test]
async fn without_redis_one_process_serves_and_says_that_it_is_alone() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    assert_eq!(served(&replica).await, serde_json::json!([1]));
    let warned = replica.log().lines().any(|line| {
        line.contains("\"WARN\"")
            && line.contains("no redis is configured")
            && line.contains("without redundancy")
    });
    assert!(warned, "{}", replica.log());
}

#[tokio::test]
async fn a_gateway_serves_what_others_poll_and_never_polls() {
    let redis = RedisServer::start().await;
    let (polled, never) = (json_backend("[1]").await, json_backend("[2]").await);
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let gateway =
        Replica::start_with("helena", &configuration(&never.url("/"), &more), |command| {
            command.args(["--role", "gateway"]);
        })
        .await;
    let poller =
        Replica::start_with("castor", &configuration(&polled.url("/"), &more), |command| {
            command.args(["--role", "poller"]);
        })
        .await;
    assert_eq!(served(&gateway).await, serde_json::json!([1]));
    // Nobody else could take over but the gateway, and it does not.
    drop(poller);
    let url = format!("http://{}/v1/endpoints/a", gateway.gateway);
    eventually(DEADLINE, "the data grow stale", || async {
        let response = http().get(&url).send().await.ok()?;
        (response.headers().get("pollux-stale")? == "true").then_some(())
    })
    .await;
    assert_eq!(never.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn a_poller_opens_no_port_for_clients() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().to_string();
    // It would fail if it opened the port, which is taken.
    let poller =
        Replica::start_with("castor", &configuration(&backend.url("/"), &more), |command| {
            command.args(["--role", "poller"]).env("POLLUX__GATEWAY__LISTEN", &port);
        })
        .await;
    assert_eq!(poller.gateway, "");
    let poller = [poller];
    leader(&poller, DEADLINE).await;
    eventually(DEADLINE, "it polls", || async { (!backend.requests().is_empty()).then_some(()) })
        .await;
    let report = poller[0].admin_json("/v1/cluster").await.unwrap();
    assert_eq!(report["endpoints"], Value::Null);
    let connected = tokio::time::timeout(Duration::from_millis(1), taken.accept()).await;
    assert!(connected.is_err(), "nobody connects to the port either");
}
