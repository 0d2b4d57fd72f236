use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::common::client::SseClient;
use super::common::history::{assert_one_writer_at_a_time, history};
use super::common::nginx::Nginx;
use super::common::redis_server::RedisServer;
use super::common::replica::leader;
use super::common::{eventually, http, is_missing};
use super::{ENDPOINTS, configuration, gateways, start_replicas};

/// Longer than the lease and longer than `stale_after`.
const OUTAGE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_heals_when_redis_was_away_and_returns_empty() {
    if is_missing("nginx") {
        return;
    }
    let (mut redis, nginx) = (RedisServer::start().await, Nginx::start().await);
    for name in ENDPOINTS {
        nginx.write(name, &json!({ "before": name }).to_string());
    }
    let replicas = start_replicas(&configuration(&redis, &nginx)).await;
    leader(&replicas, Duration::from_secs(10)).await;
    let clients: Vec<SseClient> =
        (0..6).map(|number| SseClient::follow(gateways(&replicas), number, &ENDPOINTS)).collect();
    all_hold(&clients, "before").await;
    let newest = clients.iter().flat_map(|client| client.seen().versions).max();

    redis.kill().await;
    for client in &clients {
        eventually(OUTAGE, "every client is told that the data are stale", || async {
            let told = client.seen().freshness;
            let stale = |name| told.iter().any(|(kind, of)| kind == "stale" && of == name);
            ENDPOINTS.iter().all(|name| stale(*name)).then_some(())
        })
        .await;
    }
    for replica in &replicas {
        assert_eq!(replica.admin_status("/livez").await, Some(200));
        assert_eq!(replica.admin_status("/readyz").await, Some(200));
        let url = format!("http://{}/v1/endpoints/{}", replica.gateway, ENDPOINTS[0]);
        let response = http().get(url).send().await.expect("the gateway serves on");
        assert_eq!(response.headers()["pollux-stale"], "true");
    }
    // The outage is a matter of time, and this is its time.
    sleep(OUTAGE).await;
    redis.restart().await;
    for name in ENDPOINTS {
        nginx.write(name, &json!({ "after": name }).to_string());
    }

    all_hold(&clients, "after").await;
    for client in &clients {
        eventually(Duration::from_secs(5), "every client is told that they are fresh", || async {
            let told = client.seen().freshness;
            let last = |name| told.iter().rfind(|(_, of)| of == name).map(|(kind, _)| &**kind);
            ENDPOINTS.iter().all(|name| last(*name) == Some("fresh")).then_some(())
        })
        .await;
        let versions = client.seen().versions;
        assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    }
    let history = history(&redis).await;
    assert_one_writer_at_a_time(&history);
    assert!(history.iter().all(|publication| Some(publication.version) > newest));
    leader(&replicas, Duration::from_secs(5)).await;
}

pub(crate) async fn all_hold(clients: &[SseClient], key: &str) {
    for (number, client) in clients.iter().enumerate() {
        let what = format!("client {number} holds the data from {key}");
        eventually(Duration::from_secs(10), &what, || async {
            let seen = client.seen();
            let held = |name: &str| seen.bodies.get(name).is_some_and(|body| body[key] == *name);
            ENDPOINTS.iter().all(|name| held(name)).then_some(())
        })
        .await;
    }
}
