//! Which metrics a cluster shows, under which labels.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::DEADLINE;
use super::backend::{Backend, Reply, answer};
use super::common::client::SseClient;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, http};

/// Every metric that this scenario fills, with the labels it must carry.
const EXPECTED: &[(&str, &[&str])] = &[
    ("pollux_is_leader", &[]),
    ("pollux_has_leader", &[]),
    ("pollux_term", &[]),
    ("pollux_leader_changes_total", &[]),
    ("pollux_leadership_lost_total", &["reason=\"lost\""]),
    ("pollux_lease_renew_seconds_bucket", &["result=\"held\"", "le="]),
    ("pollux_lease_renew_seconds_count", &["result=\"lost\""]),
    ("pollux_redis_failures_total", &["kind=\"refused\""]),
    ("pollux_lease_remaining_seconds", &[]),
    ("pollux_lease_duration_seconds", &[" 2"]),
    ("pollux_lease_renew_deadline_seconds", &[" 1.5"]),
    ("pollux_takeover_seconds_bucket", &["cause=\"expired\"", "le=\"0.3\""]),
    ("pollux_polls_total", &["endpoint=\"changing\"", "outcome=\"changed\""]),
    ("pollux_polls_total", &["endpoint=\"same\"", "outcome=\"unchanged\""]),
    ("pollux_polls_total", &["endpoint=\"tagged\"", "outcome=\"not_modified\""]),
    ("pollux_polls_total", &["endpoint=\"broken\"", "outcome=\"failed\""]),
    ("pollux_poll_failures_total", &["endpoint=\"broken\"", "kind=\"status\""]),
    ("pollux_poll_seconds_bucket", &["endpoint=\"changing\"", "le="]),
    ("pollux_breaker_open", &["endpoint=\"broken\"", "} 1"]),
    ("pollux_breaker_open", &["endpoint=\"same\"", "} 0"]),
    ("pollux_schedule_lag_seconds_bucket", &["le="]),
    ("pollux_endpoint_age_seconds", &["endpoint=\"same\""]),
    ("pollux_endpoint_interval_seconds", &["endpoint=\"same\""]),
    ("pollux_endpoint_stale", &["endpoint=\"same\""]),
    ("pollux_publications_total", &["outcome=\"accepted\""]),
    ("pollux_redis_commands_total", &["purpose=\"lease\""]),
    ("pollux_redis_commands_total", &["purpose=\"probe\""]),
    ("pollux_redis_commands_total", &["purpose=\"publish\""]),
    ("pollux_redis_commands_total", &["purpose=\"read\""]),
    ("pollux_redis_commands_total", &["purpose=\"presence\""]),
    ("pollux_gateway_clients", &["transport=\"sse\""]),
    ("pollux_gateway_reads_total", &["status=\"200\""]),
    ("pollux_gateway_reads_total", &["status=\"404\""]),
    ("pollux_gateway_deliveries_total", &["transport=\"sse\""]),
    ("pollux_delivery_seconds_bucket", &["le=\"0.01\""]),
    ("pollux_gateway_conflated_total", &[]),
    ("pollux_gateway_closed_total", &["reason=\"client\""]),
    ("pollux_gateway_closed_total", &["reason=\"limit\""]),
    ("pollux_gateway_resyncs_total", &["cause="]),
    ("pollux_build_info", &["version="]),
    ("process_resident_memory_bytes", &[]),
    ("process_cpu_seconds_total", &[]),
    ("process_open_fds", &[]),
    ("process_max_fds", &[]),
    ("process_start_time_seconds", &[]),
    ("process_threads", &[]),
];

/// Answers `/changing` ever anew, `/tagged` with an entity tag, `/broken` with an error.
async fn backend() -> Backend {
    let count = AtomicU64::new(0);
    Backend::listen(move |head| {
        let bytes = match head.split(' ').nth(1) {
            Some("/changing") => {
                let body = count.fetch_add(1, Relaxed).to_string();
                answer("200 OK", &[], body.as_bytes())
            }
            Some("/tagged") if head.to_lowercase().contains("if-none-match") => {
                answer("304 Not Modified", &[("etag", "\"1\"")], b"")
            }
            Some("/tagged") => answer("200 OK", &[("etag", "\"1\"")], b"[1]"),
            Some("/broken") => answer("500 Internal Server Error", &[], b""),
            _ => answer("200 OK", &[], b"[1]"),
        };
        Reply::Bytes(bytes)
    })
    .await
}

async fn exposition(replicas: &[Replica]) -> String {
    let mut all = String::new();
    for replica in replicas {
        let url = format!("http://{}/metrics", replica.admin);
        all.push_str(&http().get(url).send().await.unwrap().text().await.unwrap());
    }
    all
}

/// Whether a series of that name carries all of the labels.
fn shows(exposition: &str, (name, labels): (&str, &[&str])) -> bool {
    exposition.lines().any(|line| {
        let series = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        series && labels.iter().all(|label| line.contains(label))
    })
}

#[tokio::test]
async fn a_cluster_shows_the_documented_metrics() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let mut configuration = format!(
        "cluster: test\nredis: {{ url: \"{}\" }}\ngateway: {{ max_streams: 1 }}\n\
         lease: {{ duration: 2s, renew_deadline: 1500ms, retry_period: 200ms }}\n\
         defaults: {{ every: 200ms }}\nendpoints:\n",
        redis.url()
    );
    for name in ["changing", "same", "tagged", "broken"] {
        let url = backend.url(&format!("/{name}"));
        configuration.push_str(&format!("  - {{ name: {name}, url: \"{url}\" }}\n"));
    }
    let replicas = [
        Replica::start("castor", &configuration).await,
        Replica::start("pollux", &configuration).await,
    ];
    leader(&replicas, DEADLINE).await;
    serve_clients(&replicas[0]).await;
    // The leader loses its lease to somebody who lets it end; connections break.
    let mut operator = redis.connection().await;
    let stolen = &["{pollux:test}:lease", "stolen", "PX", "500"];
    let _: () = redis::cmd("SET").arg(stolen).query_async(&mut operator).await.unwrap();
    eventually(DEADLINE, "a lost lease is taken over", || async {
        let all = exposition(&replicas).await;
        shows(&all, ("pollux_takeover_seconds_count", &["expired"])).then_some(())
    })
    .await;
    let kill = &["KILL", "TYPE", "normal"];
    let _: u64 = redis::cmd("CLIENT").arg(kill).query_async(&mut operator).await.unwrap();
    for expected in EXPECTED {
        eventually(DEADLINE, &format!("{expected:?} is shown"), || async {
            shows(&exposition(&replicas).await, *expected).then_some(())
        })
        .await;
    }
}

/// A stream that ends, one that stays, one too many, a read and a miss.
async fn serve_clients(replica: &Replica) {
    let url = |path: &str| format!("http://{}{path}", replica.gateway);
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["changing"]);
    eventually(DEADLINE, "a client gets data", || async {
        (client.seen().versions.len() > 2).then_some(())
    })
    .await;
    let refused = http().get(url("/v1/stream?endpoint=changing")).send().await;
    assert!(refused.is_ok_and(|response| response.status() == 429));
    for (path, status) in [("/v1/endpoints/changing", 200), ("/v1/endpoints/unknown", 404)] {
        let response = http().get(url(path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
    drop(client);
}

#[tokio::test]
async fn deliveries_are_timed_where_a_stream_gets_what_arrives_after_it() {
    let backend = backend().await;
    let configuration = super::configuration(&backend.url("/changing"), "");
    let replica = Replica::start("castor", &configuration).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a"]);
    eventually(DEADLINE, "a client gets data", || async {
        (client.seen().versions.len() > 2).then_some(())
    })
    .await;
    let timed = replica.metric("pollux_delivery_seconds_count", "").await;
    assert!(timed >= 2.0, "{timed}");
    let delivered = replica.metric("pollux_gateway_deliveries_total", "sse").await;
    assert!(timed <= delivered, "{timed} of {delivered}");
    let seconds = replica.metric("pollux_delivery_seconds_sum", "").await;
    assert!(seconds > 0.0 && seconds < 1.0, "{seconds}");
}

#[tokio::test]
async fn metrics_come_in_the_text_format_with_help_for_each() {
    let backend = backend().await;
    let configuration = super::configuration(&backend.url("/same"), "");
    let replica = Replica::start("castor", &configuration).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let url = format!("http://{}/metrics", replica.admin);
    let response = http().get(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(name.starts_with("pollux_") || name.starts_with("process_"), "{name}");
        assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} is a {kind}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help");
    }
}
