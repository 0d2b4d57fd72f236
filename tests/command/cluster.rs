//! What the admin server tells of the cluster, at once and as a stream.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::{Response, StatusCode};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, free_port, http};
use super::{DEADLINE, configuration, json_backend};

/// `/v1/cluster/stream`, event by event.
struct Watching {
    chunks: BoxStream<'static, reqwest::Result<Bytes>>,
    text: String,
}

impl Watching {
    async fn of(replica: &Replica) -> Self {
        let response = ask(replica, "/v1/cluster/stream", &[]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { chunks: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next report; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event.strip_prefix("event: cluster\ndata: ").map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(data) = data {
                    return Some(serde_json::from_str(&data).unwrap());
                }
            }
            let chunk = timeout(DEADLINE, self.chunks.next()).await.expect("in time")?.ok()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn ask(replica: &Replica, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http().get(format!("http://{}{path}", replica.admin));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn with_redis(redis: &RedisServer, url: &str, more: &str) -> String {
    configuration(url, &format!("redis: {{ url: \"{}\" }}\n{more}", redis.url()))
}

/// Two replicas, and which of them leads.
async fn pair(configuration: &str) -> ([Replica; 2], usize) {
    let replicas = [
        Replica::start("castor", configuration).await,
        Replica::start("alhena", configuration).await,
    ];
    let leader = leader(&replicas, DEADLINE).await;
    (replicas, leader)
}

/// Waits until what a replica tells of `a` is as it should be.
async fn told(replica: &Replica, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually(DEADLINE, what, || async {
        replica.admin_json("/v1/cluster").await.filter(|report| holds(report))
    })
    .await
}

#[tokio::test]
async fn the_leader_tells_its_polls_and_a_standby_tells_them_too() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let (replicas, leading) = pair(&with_redis(&redis, &backend.url("/"), "")).await;
    for replica in &replicas {
        // On a loaded machine some may be skipped, or fail by their short timeout.
        let unchanged = |poll: &Value| poll["outcome"] == "unchanged" && poll["kind"].is_null();
        let polled = |report: &Value| {
            report["endpoints"][0]["polls"].as_array().unwrap().iter().any(unchanged)
        };
        let report = told(replica, "polls are told", polled).await;
        assert_eq!(report["polls"]["replica"], *replicas[leading].name);
        assert_eq!(report["polls"]["error"], Value::Null);
        let endpoint = &report["endpoints"][0];
        let now = report["now"].as_u64().unwrap();
        let polled = endpoint["polls"].as_array().unwrap().last().unwrap()["at"].as_u64().unwrap();
        assert!(now.abs_diff(polled) < 5_000, "{endpoint}");
        assert!(endpoint["next_due"].as_u64().unwrap() > polled - 1_000, "{endpoint}");
        assert_eq!(endpoint["content_type"], "application/json");
    }
    let standby = ask(&replicas[1 - leading], "/v1/polls", &[]).await;
    assert_eq!(standby.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_failing_endpoint_is_told_with_its_breaker() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    let replica = Replica::start("castor", &configuration(&url, "")).await;
    let open = |report: &Value| report["endpoints"][0]["retry_at"].is_u64();
    let report = told(&replica, "the breaker opens", open).await;
    let endpoint = &report["endpoints"][0];
    assert!(endpoint["failures"].as_u64() >= Some(5), "{endpoint}");
    let last = endpoint["polls"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["outcome"], &last["kind"]), (&"failed".into(), &"connect".into()));
    assert_eq!(endpoint["next_due"], endpoint["retry_at"]);
}

#[tokio::test]
async fn where_the_leader_cannot_be_asked_the_reason_is_told() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "");
    let nowhere = format!("http://127.0.0.1:{}", free_port());
    let lost = Replica::start_with("castor", &configuration, |command| {
        command.env("POLLUX__ADDRESS", &nowhere);
    })
    .await;
    leader(std::slice::from_ref(&lost), DEADLINE).await;
    let standby = Replica::start("alhena", &configuration).await;
    let seen = |report: &Value| report["leader"].is_object();
    let report = told(&standby, "the leader is seen", seen).await;
    assert_eq!(report["polls"]["replica"], Value::Null);
    let error = report["polls"]["error"].as_str().unwrap();
    assert!(error.contains(&nowhere) && error.contains("castor"), "{error}");
}

#[tokio::test]
async fn an_address_that_leads_to_another_replica_is_found_out() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "");
    let port = free_port();
    let address = format!("http://127.0.0.1:{port}");
    let lost = Replica::start_with("castor", &configuration, |command| {
        command.env("POLLUX__ADDRESS", &address);
    })
    .await;
    leader(std::slice::from_ref(&lost), DEADLINE).await;
    let standby = Replica::start_with("alhena", &configuration, |command| {
        command.env("POLLUX__ADMIN__LISTEN", format!("127.0.0.1:{port}"));
    })
    .await;
    let seen = |report: &Value| report["leader"].is_object();
    let report = told(&standby, "the leader is seen", seen).await;
    let error = report["polls"]["error"].as_str().unwrap();
    assert!(error.contains("409"), "{error}");
}

#[tokio::test]
async fn while_the_store_is_away_what_it_told_last_is_told() {
    let (mut redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "");
    let replica = Replica::start("castor", &configuration).await;
    let whole = |report: &Value| report["replicas"][0].is_object() && report["leader"].is_object();
    let before = told(&replica, "castor leads and is heard of", whole).await;
    redis.kill().await;
    let away = |report: &Value| report["store"]["ok"] == false;
    let report = told(&replica, "the store is away", away).await;
    assert_eq!(report["now"], Value::Null);
    assert_eq!(report["replicas"], before["replicas"]);
    assert_eq!(report["served"], before["served"]);
    assert_eq!(report["timeline"], before["timeline"]);
    assert_eq!(report["timeline"][0]["event"], "claimed");
}

#[tokio::test]
async fn a_stream_begins_at_once_and_goes_on_every_second() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let mut first = Watching::of(&replica).await;
    let report = first.next().await.unwrap();
    assert_eq!(report["leader"]["replica"], "castor");
    let started = Instant::now();
    first.next().await.unwrap();
    // One who comes between two reports gets the newest without waiting for the next.
    let mut second = Watching::of(&replica).await;
    second.next().await.unwrap();
    let joined = started.elapsed();
    first.next().await.unwrap();
    let elapsed = started.elapsed();
    assert!(joined < elapsed && elapsed > Duration::from_millis(1_500), "{joined:?} {elapsed:?}");
}

#[tokio::test]
async fn a_stream_tells_of_a_new_leader_at_once() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let (replicas, leading) = pair(&with_redis(&redis, &backend.url("/"), "")).await;
    let term = replicas[leading].admin_json("/v1/cluster").await.unwrap()["term"].clone();
    let mut watching = Watching::of(&replicas[1 - leading]).await;
    watching.next().await.unwrap();
    let killed = Instant::now();
    replicas[leading].signal(Signal::KILL);
    let report = loop {
        let report = watching.next().await.expect("it goes on");
        if report["leader"].is_object() && report["term"] != term {
            break report;
        }
    };
    let (told_after, standby) = (killed.elapsed(), &replicas[1 - leading].name);
    assert_eq!(report["leader"]["replica"], **standby);
    // The report that tells it comes with the claim, not with the next second.
    let age = report["now"].as_u64().unwrap() - report["leader"]["since"].as_u64().unwrap();
    assert!(age < 300, "told {age} ms after the claim, {told_after:?} after the crash");
}

#[tokio::test]
async fn while_nobody_looks_nothing_is_asked() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"), "");
    let replica = Replica::start("castor", &configuration).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let mut watching = Watching::of(&replica).await;
    let before = calls(&redis, "xrevrange").await;
    for _ in 0..3 {
        watching.next().await.unwrap();
    }
    assert!(calls(&redis, "xrevrange").await >= before + 2, "each report is one survey");
    drop(watching);
    let renewals = async |more: u64| {
        let known = calls(&redis, "pexpire").await;
        eventually(DEADLINE, "the lease is renewed", || async {
            (calls(&redis, "pexpire").await >= known + more).then_some(())
        })
        .await;
    };
    // The server learns at its next write that the client is gone.
    renewals(2).await;
    let left = calls(&redis, "xrevrange").await;
    renewals(3).await;
    assert_eq!(calls(&redis, "xrevrange").await, left);
}

/// How often Redis was given a command.
async fn calls(redis: &RedisServer, command: &str) -> u64 {
    let mut connection = redis.connection().await;
    let stats: String =
        redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    let line =
        stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn so_many_may_look_and_no_more() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let mut watching = Vec::new();
    for _ in 0..16 {
        watching.push(Watching::of(&replica).await);
    }
    let refused = ask(&replica, "/v1/cluster/stream", &[]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    let detail = refused.text().await.unwrap();
    assert!(detail.contains("16 look at this replica already"), "{detail}");
    watching.pop();
    eventually(DEADLINE, "there is room again", || async {
        let answer = ask(&replica, "/v1/cluster/stream", &[]).await;
        answer.status().is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_the_replica_leaves() {
    let backend = json_backend("[1]").await;
    let mut replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let mut watching = Watching::of(&replica).await;
    watching.next().await.unwrap();
    replica.signal(Signal::TERM);
    while watching.next().await.is_some() {}
    let status = replica.process.ended(DEADLINE).await;
    assert!(status.success(), "{status}");
    assert!(!replica.log().contains("cut off"), "{}", replica.log());
}

#[tokio::test]
async fn what_was_served_is_counted() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let read = async || {
        let url = format!("http://{}/v1/endpoints/a", replica.gateway);
        http().get(url).send().await.unwrap().status().is_success()
    };
    eventually(DEADLINE, "a snapshot is served", || async { read().await.then_some(()) }).await;
    let counted = |report: &Value| report["served"]["reads"].as_u64() > Some(0);
    let report = told(&replica, "the counts are told", counted).await;
    let served = &report["served"];
    let number = |name: &str| served[name].as_i64().unwrap();
    assert!(number("polls") > 0);
    assert_eq!(number("saved"), number("reads") + number("deliveries") - number("polls"));
    let started = report["replicas"][0]["started_at"].as_u64().unwrap();
    assert_eq!(served["since"], started);
    assert!(report["now"].as_u64().unwrap() - started < 60_000, "{report}");
}

#[tokio::test]
async fn only_answers_with_data_or_that_confirm_them_are_counted_as_served() {
    let backend = json_backend("[1]").await;
    let silent = format!("http://127.0.0.1:{}/", free_port());
    let more = format!("  - {{ name: b, url: \"{silent}\", every: 200ms }}\n");
    let configuration = configuration(&backend.url("/"), "") + &more;
    let replica = Replica::start("castor", &configuration).await;
    let fetched = |report: &Value| report["endpoints"][0]["version"].is_string();
    let report = told(&replica, "a snapshot is there", fetched).await;
    let current = format!("W/\"{}\"", report["endpoints"][0]["version"].as_str().unwrap());
    // Those that are served come last: once they are told, so would be the others.
    let reads = [("b", "", 503), ("b", "", 503), ("nowhere", "", 404), ("a", "", 200)];
    for (name, etag, status) in reads.into_iter().chain([("a", &*current, 304)]) {
        let url = format!("http://{}/v1/endpoints/{name}", replica.gateway);
        let answer = http().get(url).header("if-none-match", etag).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{name}");
    }
    let counted = |report: &Value| report["served"]["reads"].as_u64() >= Some(2);
    let report = told(&replica, "the counts are told", counted).await;
    assert_eq!(report["served"]["reads"], 2);
    for (status, count) in [(200, 1.0), (304, 1.0), (404, 1.0), (503, 2.0)] {
        let label = format!("status=\"{status}\"");
        assert_eq!(replica.metric("pollux_gateway_reads_total", &label).await, count, "{status}");
    }
}
