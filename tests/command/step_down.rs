use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::backend::{Backend, Reply};
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, configuration, file, json_backend, path, pollux};

/// How many handovers are asked for.
const HANDOVERS: usize = 6;

/// Two replicas, each of which has heard of the other; which of them leads.
async fn pair(configuration: &str) -> ([Replica; 2], usize) {
    let replicas = [
        Replica::start("castor", configuration).await,
        Replica::start("alhena", configuration).await,
    ];
    let leader = leader(&replicas, DEADLINE).await;
    eventually(DEADLINE, "both are heard of", || async {
        let report = replicas[0].admin_json("/v1/cluster").await?;
        (report["replicas"].as_array()?.len() == 2).then_some(())
    })
    .await;
    (replicas, leader)
}

fn with_redis(redis: &RedisServer, url: &str, more: &str) -> String {
    configuration(url, &format!("redis: {{ url: \"{}\" }}\n{more}", redis.url()))
}

#[tokio::test]
async fn the_leader_hands_over_whichever_replica_is_asked() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let (replicas, mut leading) = pair(&with_redis(&redis, &backend.url("/"), "")).await;
    for asked in replicas.iter().cycle().take(HANDOVERS) {
        let outcome = pollux(&["step-down", "--url", &asked.admin]).await;
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        let (from, to) = (&replicas[leading].name, &replicas[1 - leading].name);
        let expected = format!("{from} handed over to {to} after ");
        assert!(outcome.stdout.starts_with(&expected), "{outcome:?}");
        leading = 1 - leading;
    }
    let released = replicas[0].metric("pollux_leadership_lost_total", "released").await;
    assert_eq!(released, (HANDOVERS / 2) as f64);
    let mut gaps = gaps(&replicas[0]).await;
    assert_eq!(gaps.len(), HANDOVERS);
    gaps.sort();
    // The usual one: what else runs on this machine may hold one up.
    assert!(gaps[HANDOVERS / 2] <= 50, "from release to claim, in ms: {gaps:?}");
}

/// The times from each release to the claim that followed, in ms by the clock of Redis.
async fn gaps(replica: &Replica) -> Vec<u64> {
    let report = replica.admin_json("/v1/cluster").await.unwrap();
    let entries = report["timeline"].as_array().unwrap().clone();
    let at =
        |entry: &Value, event| (entry["event"] == event).then(|| entry["at"].as_u64().unwrap());
    let pairs = entries
        .windows(2)
        .filter_map(|pair| Some(at(&pair[0], "claimed")? - at(&pair[1], "released")?));
    pairs.collect()
}

#[tokio::test]
async fn a_backend_that_does_not_answer_delays_nothing() {
    let (redis, backend) =
        (RedisServer::start().await, Backend::start(Reply::BytesThenHang(Vec::new())).await);
    let more = "defaults: { timeout: 10s }\n";
    let (replicas, leading) = pair(&with_redis(&redis, &backend.url("/"), more)).await;
    eventually(DEADLINE, "a poll is under way", || async {
        (!backend.requests().is_empty()).then_some(())
    })
    .await;
    let asked = Instant::now();
    let outcome = pollux(&["step-down", "--url", &replicas[leading].admin]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_leader_without_a_standby_is_not_asked() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "");
    let replica = Replica::start("castor", &configuration).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let _gateway = Replica::start_with("alhena", &configuration, |command| {
        command.args(["--role", "gateway"]);
    })
    .await;
    let outcome = pollux(&["step-down", "--url", &replica.admin]).await;
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("nobody else could lead"), "{}", outcome.stderr);
}

#[tokio::test]
async fn a_token_is_asked_for_where_there_is_one() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "admin: { token: sesame-open }\n");
    let (replicas, _) = pair(&configuration).await;
    let refused = pollux(&["step-down", "--url", &replicas[0].admin]).await;
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("expected admin.token"), "{}", refused.stderr);
    // The configuration names the token, and where the admin server listens.
    let listen = format!("listen: {}, token", replicas[0].admin);
    let file = file(&configuration.replace("token", &listen));
    let outcome = pollux(&["step-down", "--config", path(&file)]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
}
