use crate::common::client::SseClient;
use crate::common::eventually;
use crate::common::redis_server::RedisServer;
use crate::common::replica::{Replica, leader};
use crate::{DEADLINE, answers, backend, configuration, requests};

/// Configurations reach replicas one after another; meanwhile any of them may lead.
#[tokio::test]
async fn while_replicas_differ_what_they_share_goes_on() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let old = configuration(&redis, &backend, &["a", "b"]);
    let new = configuration(&redis, &backend, &["a", "c"]);
    let replicas = [Replica::start("castor", &old).await, Replica::start("helena", &old).await];
    let first = leader(&replicas, DEADLINE).await;
    let (leading, other) = (&replicas[first], &replicas[1 - first]);
    answers(&other.gateway, "b", 200).await;
    let gateways = replicas.iter().map(|replica| replica.gateway.clone()).collect();
    let client = SseClient::follow(gateways, 1 - first, &["a", "b"]);

    // The standby is ahead: it serves the new endpoint as soon as the leader polls it.
    other.reconfigure(&new);
    answers(&other.gateway, "b", 404).await;
    answers(&other.gateway, "c", 503).await;
    answers(&leading.gateway, "b", 200).await;
    leading.reconfigure(&new);
    answers(&other.gateway, "c", 200).await;
    answers(&leading.gateway, "b", 404).await;
    // And then it is behind, and takes over: it polls as it knows, and harms nothing. What the store
    // has kept it serves until then, as stale.
    other.reconfigure(&old);
    answers(&other.gateway, "b", 200).await;
    let before = requests(&backend, "b");
    leading.signal(rustix::process::Signal::TERM);
    eventually(DEADLINE, "b is polled again", || async {
        (requests(&backend, "b") > before).then_some(())
    })
    .await;
    let polled = requests(&backend, "a");
    eventually(DEADLINE, "a is polled on", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
    let seen = client.seen();
    assert!(seen.versions.is_sorted(), "{:?}", seen.versions);
    assert!(seen.freshness.contains(&("gone".to_owned(), "b".to_owned())));
}
