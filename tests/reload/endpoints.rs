use rustix::process::Signal;

use crate::common::client::SseClient;
use crate::common::eventually;
use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::{DEADLINE, answers, backend, configuration, configuration_with, requests, term};

#[tokio::test]
async fn endpoints_come_and_go_without_a_restart_a_new_term_or_a_broken_stream() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let replica = Replica::start("castor", &configuration(&redis, &backend, &["a", "b"])).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a", "b"]);
    answers(&replica.gateway, "a", 200).await;
    let before = term(&replica).await;

    replica.reconfigure(&configuration(&redis, &backend, &["b", "c"]));
    answers(&replica.gateway, "c", 200).await;
    answers(&replica.gateway, "a", 404).await;
    eventually(DEADLINE, "the stream is told that a is gone", || async {
        client.seen().freshness.contains(&("gone".to_owned(), "a".to_owned())).then_some(())
    })
    .await;
    let seen = client.seen();
    let told = seen.freshness.iter().filter(|(kind, _)| kind == "gone").count();
    assert_eq!((told, seen.connections), (1, 1), "{:?}", seen.freshness);
    assert_eq!(term(&replica).await, before);

    let (a, b) = (requests(&backend, "a"), requests(&backend, "b"));
    eventually(DEADLINE, "b is polled on", || async {
        (requests(&backend, "b") > b + 5).then_some(())
    })
    .await;
    assert_eq!(requests(&backend, "a"), a, "a is not polled any more");
    replica.reloaded("applied", 1).await;
    assert_eq!(replica.metric("pollux_leadership_lost_total", "").await, 0.0);
}

#[tokio::test]
async fn an_endpoint_that_comes_back_goes_on_for_the_stream_that_was_told_it_went() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let replica = Replica::start("castor", &configuration(&redis, &backend, &["a", "b"])).await;
    answers(&replica.gateway, "a", 200).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a"]);
    let versions = || async { client.seen().versions.len() };
    eventually(DEADLINE, "the first snapshot", || async { (versions().await == 1).then_some(()) })
        .await;
    replica.reconfigure(&configuration(&redis, &backend, &["b"]));
    answers(&replica.gateway, "a", 404).await;
    replica.reconfigure(&configuration(&redis, &backend, &["a", "b"]));
    eventually(DEADLINE, "a second snapshot on the same stream", || async {
        (versions().await == 2).then_some(())
    })
    .await;
    let seen = client.seen();
    assert!(seen.versions.is_sorted(), "{:?}", seen.versions);
    assert_eq!(seen.connections, 1);
}

#[tokio::test]
async fn another_lease_is_a_handover_and_the_streams_go_on() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let configuration = |lease: &str| {
        let more = format!("lease: {{ duration: {lease} }}");
        configuration_with(&redis, &backend, &["a"], &more)
    };
    let replica = Replica::start("castor", &configuration("6s")).await;
    answers(&replica.gateway, "a", 200).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a"]);
    let before = term(&replica).await;
    replica.reconfigure(&configuration("60s"));
    eventually(DEADLINE, "it leads again, with the longer lease", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        let leads = report["leader"]["lease_remaining"].as_f64()? > 30.0;
        (leads && report["term"].as_u64()? > before).then_some(())
    })
    .await;
    let polled = requests(&backend, "a");
    eventually(DEADLINE, "it polls again", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
    assert_eq!(client.seen().connections, 1);
    assert_eq!(replica.metric("pollux_leadership_lost_total", "released").await, 1.0);
    let report = replica.admin_json("/v1/cluster").await.unwrap();
    let causes = report["timeline"].as_array().unwrap().iter().map(|entry| &entry["cause"]);
    assert_eq!(causes.collect::<Vec<_>>(), ["released", "reconfigured", "first"]);
}

#[tokio::test]
async fn a_replica_stays_ready_while_its_lease_is_changed_during_an_outage() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let configuration = |lease: &str| {
        let more = format!("lease: {{ duration: {lease} }}");
        configuration_with(&redis, &backend, &["a"], &more)
    };
    let replica = Replica::start("castor", &configuration("6s")).await;
    answers(&replica.gateway, "a", 200).await;
    redis.signal(Signal::STOP);
    replica.reconfigure(&configuration("60s"));
    replica.reloaded("applied", 1).await;
    assert_eq!(replica.admin_status("/readyz").await, Some(200));
    answers(&replica.gateway, "a", 200).await;
    redis.signal(Signal::CONT);
    let polled = requests(&backend, "a");
    eventually(DEADLINE, "it polls again", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_stays_goes_on_over_its_connection_and_its_count_of_time() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let replica = Replica::start("castor", &configuration(&redis, &backend, &["a"])).await;
    answers(&replica.gateway, "a", 200).await;
    let started = || async {
        let report = replica.admin_json("/v1/cluster").await?;
        report["replicas"][0]["started_at"].as_u64().filter(|at| *at > 0)
    };
    let before = eventually(DEADLINE, "it has told when it started", started).await;
    let connections = backend.connections();
    let longer = configuration_with(&redis, &backend, &["a"], "history: 10");
    replica.reconfigure(&longer);
    replica.reloaded("applied", 1).await;
    let lease = configuration_with(&redis, &backend, &["a"], "lease: { duration: 7s }");
    replica.reconfigure(&lease);
    replica.reloaded("applied", 2).await;
    let polled = requests(&backend, "a");
    eventually(DEADLINE, "it polls on", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
    // One poll may have been under way, and each round asks who can be reached.
    assert!(backend.connections() <= connections + 3, "{}", backend.connections());
    let after = eventually(DEADLINE, "it tells when it started", started).await;
    assert!(after.abs_diff(before) < 1_000, "{before} {after}");
}
