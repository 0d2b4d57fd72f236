//! What the log tells of leadership: the same fields, on every replica, whatever happens.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, configuration, json_backend, pollux};

/// Those that every event has, and those of leadership.
const FIELDS: [&str; 13] = [
    "timestamp",
    "level",
    "target",
    "message",
    "event",
    "change",
    "replica",
    "leader",
    "term",
    "previous_term",
    "cause",
    "gap_ms",
    "led_ms",
];

/// Three replicas that share a Redis, each of which has heard of the others; which of them leads.
async fn three(redis: &RedisServer) -> (Vec<Replica>, usize) {
    let backend = json_backend("[1]").await;
    let redis = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let configuration = configuration(&backend.url("/"), &redis);
    let mut replicas = Vec::new();
    for name in ["castor", "pollux", "alhena"] {
        replicas.push(Replica::start(name, &configuration).await);
    }
    let leader = leader(&replicas, DEADLINE).await;
    eventually(DEADLINE, "all are heard of", || async {
        let report = replicas[0].admin_json("/v1/cluster").await?;
        (report["replicas"].as_array()?.len() == 3).then_some(())
    })
    .await;
    (replicas, leader)
}

/// The events of leadership that a replica has logged, each with exactly the fields of all.
fn events(replica: &Replica) -> Vec<Value> {
    let log = replica.log();
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let events: Vec<Value> = events.filter(|event| event["event"] == "leadership").collect();
    for event in &events {
        let found: BTreeSet<&str> = event.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, FIELDS.into_iter().collect(), "{event}");
        assert_eq!(event["replica"], replica.name, "{event}");
        for number in ["term", "previous_term", "gap_ms", "led_ms"] {
            assert!(event[number].is_u64(), "{event}");
        }
    }
    events
}

/// Waits for an event.
async fn event(replica: &Replica, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(DEADLINE, &format!("{}: {what}", replica.name), || async {
        events(replica).into_iter().find(|event| wanted(event))
    })
    .await
}

/// What one that stands by logs of a new leader.
async fn follows(replica: &Replica, leader: &str, term: &Value, previous: &Value) {
    let found = event(replica, "it stands by", |event| {
        event["change"] == "standing_by" && event["term"] == *term
    });
    let found = found.await;
    assert_eq!(found["leader"], leader);
    assert_eq!(found["previous_term"], *previous);
    assert_eq!(found["cause"], "another_leads");
}

#[tokio::test]
async fn a_handover_is_logged_with_the_same_fields_by_all_replicas() {
    let redis = RedisServer::start().await;
    let (replicas, from) = three(&redis).await;
    let first = event(&replicas[from], "its claim", |event| event["change"] == "claimed").await;
    assert_eq!((&first["cause"], &first["previous_term"]), (&"first".into(), &0.into()));
    let asked = &replicas[(from + 1) % 3];
    let outcome = pollux(&["step-down", "--url", &asked.admin]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);

    let (to, bystander) = succession(&replicas, from).await;
    let (old, new, other) = (&replicas[from], &replicas[to], &replicas[bystander]);
    let request = event(asked, "the request", |event| event["change"] == "asked").await;
    assert_eq!((&request["leader"], &request["term"]), (&old.name.clone().into(), &first["term"]));
    let steps = event(old, "it steps down", |event| event["change"] == "stepping_down").await;
    assert_eq!((&steps["cause"], &steps["term"]), (&"asked".into(), &first["term"]));
    let ended = event(old, "it ended", |event| event["change"] == "ended").await;
    assert_eq!((&ended["cause"], &ended["leader"]), (&"released".into(), &old.name.clone().into()));
    assert_eq!(ended["term"], first["term"]);
    assert!(ended["led_ms"].as_u64().unwrap() > 0);
    let claimed = event(new, "its claim", |event| event["change"] == "claimed").await;
    assert_eq!(
        (&claimed["cause"], &claimed["leader"]),
        (&"released".into(), &new.name.clone().into())
    );
    assert_eq!(claimed["previous_term"], first["term"]);
    assert!(claimed["term"].as_u64() > first["term"].as_u64());
    for replica in [old, other] {
        follows(replica, &new.name, &claimed["term"], &first["term"]).await;
    }
}

/// Who leads after the replica `from`, and who does not.
async fn succession(replicas: &[Replica], from: usize) -> (usize, usize) {
    let (one, other) = ((from + 1) % 3, (from + 2) % 3);
    let claimed =
        |index: usize| events(&replicas[index]).iter().any(|event| event["change"] == "claimed");
    eventually(DEADLINE, "another leads", || async {
        let pairs = [(one, other), (other, one)];
        pairs.into_iter().find(|(successor, _)| claimed(*successor))
    })
    .await
}

#[tokio::test]
async fn a_crash_is_logged_with_the_same_fields_by_all_that_are_left() {
    let redis = RedisServer::start().await;
    let (replicas, from) = three(&redis).await;
    let first = event(&replicas[from], "its claim", |event| event["change"] == "claimed").await;
    replicas[from].signal(Signal::KILL);
    let (to, bystander) = succession(&replicas, from).await;
    let (new, other) = (&replicas[to], &replicas[bystander]);
    let claimed = event(new, "its claim", |event| event["change"] == "claimed").await;
    assert_eq!(
        (&claimed["cause"], &claimed["leader"]),
        (&"crashed".into(), &new.name.clone().into())
    );
    assert_eq!(claimed["previous_term"], first["term"]);
    assert!(claimed["gap_ms"].as_u64().unwrap() > 0, "{claimed}");
    follows(other, &new.name, &claimed["term"], &first["term"]).await;
    // One of both took the lease away.
    let reaped: Vec<Value> = [new, other]
        .into_iter()
        .flat_map(events)
        .filter(|event| event["change"] == "reaped")
        .collect();
    assert_eq!(reaped.len(), 1, "{reaped:?}");
    assert_eq!(reaped[0]["leader"], replicas[from].name);
    assert_eq!((&reaped[0]["cause"], &reaped[0]["term"]), (&"crashed".into(), &first["term"]));
}

#[tokio::test]
async fn a_leader_that_is_stopped_logs_why() {
    let redis = RedisServer::start().await;
    let (mut replicas, from) = three(&redis).await;
    replicas[from].signal(Signal::TERM);
    replicas[from].process.ended(DEADLINE).await;
    let changes: Vec<(String, String)> = events(&replicas[from])
        .iter()
        .map(|event| (text(&event["change"]), text(&event["cause"])))
        .collect();
    let expected = [("claimed", "first"), ("stepping_down", "shutdown"), ("ended", "released")];
    let expected = expected.map(|(change, cause)| (change.to_owned(), cause.to_owned()));
    assert_eq!(changes, expected);
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
