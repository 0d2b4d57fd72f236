use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

use super::backend::{Backend, Reply, answer};
use super::collector::{Collector, Manner, Span};
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::Replica;
use super::{DEADLINE, changing_backend, configuration, has, json, named, traced, traceparent};

/// A replica on the embedded store whose polls are all traced.
async fn traced_replica(collector: &Collector, url: &str, more: &str) -> Replica {
    let more = format!("{}{more}", traced(&collector.url()));
    Replica::start("castor", &configuration(url, &more)).await
}

#[tokio::test]
async fn one_trace_leads_from_the_poll_to_the_publication() {
    let (redis, backend) = (RedisServer::start().await, changing_backend().await);
    let collector = Collector::start(Manner::Takes).await;
    let store = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let replica = traced_replica(&collector, &backend.url("/prices"), &store).await;
    let spans = collector.trace("a published poll", |spans| has(spans, "publish a")).await;
    assert_eq!(spans.len(), 3, "{spans:?}");
    let (poll, request, publish) =
        (named(&spans, "poll a"), named(&spans, "GET"), named(&spans, "publish a"));

    assert_eq!((poll.kind, poll.parent.as_str()), (SpanKind::Internal, ""));
    assert_eq!((request.kind, &request.parent), (SpanKind::Client, &poll.id));
    assert_eq!((publish.kind, &publish.parent), (SpanKind::Producer, &poll.id));
    assert!(poll.start <= request.start && request.end <= publish.start, "{spans:?}");
    assert!(publish.start <= publish.end && publish.end <= poll.end, "{spans:?}");
    assert!(spans.iter().all(|span| !span.failed), "{spans:?}");

    // The backend's own spans belong below the request.
    let told = (request.trace.clone(), request.id.clone());
    let told = backend.requests().iter().filter_map(|head| traceparent(head)).any(|at| at == told);
    assert!(told, "{:?}", backend.requests());

    assert_eq!(poll.get("pollux.endpoint"), "a");
    assert_eq!(poll.get("pollux.poll.outcome"), "changed");
    assert_eq!(poll.get("pollux.publication.outcome"), "accepted");
    assert_eq!(request.get("http.request.method"), "GET");
    assert_eq!(request.get("url.full"), backend.url("/prices"));
    assert_eq!(request.get("server.address"), "127.0.0.1");
    assert_eq!(request.get("server.port"), backend.address.port().to_string());
    assert_eq!(request.get("http.response.status_code"), "200");
    assert_eq!(request.get("http.response.body.size"), "3");
    assert_eq!(request.get("network.protocol.version"), "1.1");
    assert_eq!(request.get("network.peer.port"), backend.address.port().to_string());
    assert_eq!(publish.get("db.system.name"), "redis");
    assert_eq!(publish.get("messaging.operation.type"), "send");
    assert_eq!(publish.get("messaging.destination.name"), "a");
    let version = publish.get("pollux.version");
    assert_eq!(publish.get("messaging.message.id"), version);
    assert_eq!(version.split_once('-').unwrap().0, poll.get("pollux.term"));

    let resource = |name: &str| poll.resource[name].as_str();
    assert_eq!(resource("service.name"), "pollux");
    assert_eq!(resource("service.version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(resource("service.instance.id"), replica.name);
    assert_eq!(resource("pollux.cluster"), "test");
}

#[tokio::test]
async fn what_is_unchanged_has_a_trace_without_a_publication() {
    let backend = Backend::listen(|head| match head.contains("if-none-match") {
        true => Reply::Bytes(answer("304 Not Modified", &[], b"")),
        false => Reply::Bytes(answer("200 OK", &[("etag", "\"1\"")], b"[1]")),
    })
    .await;
    let collector = Collector::start(Manner::Takes).await;
    let _replica = traced_replica(&collector, &backend.url("/"), "").await;
    let spans = collector.trace("a poll without a change", is("not_modified")).await;
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert_eq!(named(&spans, "GET").get("http.response.status_code"), "304");
    assert!(spans.iter().all(|span| !span.failed), "{spans:?}");
}

/// Whether a trace is that of a poll with this outcome.
fn is(outcome: &str) -> impl Fn(&[Span]) -> bool {
    move |spans| spans.iter().any(|span| span.get("pollux.poll.outcome") == outcome)
}

#[tokio::test]
async fn the_log_line_of_a_failure_names_its_trace() {
    let backend = Backend::start(Reply::Bytes(answer("503 Service Unavailable", &[], b""))).await;
    let collector = Collector::start(Manner::Takes).await;
    let replica = traced_replica(&collector, &backend.url("/"), "").await;
    let line = eventually(DEADLINE, "a failure is logged", || async {
        let log = replica.log();
        let mut events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.find(|event| event["kind"] == "status")
    })
    .await;
    let trace = line["trace_id"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned();
    let spans = collector.trace("its trace", |spans| {
        spans[0].trace == trace && has(spans, "poll a") && has(spans, "GET")
    });
    let spans = spans.await;
    let (poll, request) = (named(&spans, "poll a"), named(&spans, "GET"));
    assert!(poll.failed && request.failed);
    assert_eq!(poll.get("pollux.poll.outcome"), "failed");
    assert_eq!(poll.get("error.type"), "status");
    assert_eq!(request.get("error.type"), "503");
}

#[tokio::test]
async fn a_backend_that_hangs_has_a_span_that_says_so() {
    let backend = Backend::start(Reply::BytesThenHang(Vec::new())).await;
    let collector = Collector::start(Manner::Takes).await;
    let _replica = traced_replica(&collector, &backend.url("/"), "").await;
    let spans = collector.trace("a failed poll", is("failed")).await;
    let request = named(&spans, "GET");
    assert!(request.failed);
    assert_eq!(request.get("error.type"), "timeout");
    assert!(request.end - request.start >= Duration::from_millis(190).as_nanos() as u64);
}

#[tokio::test]
async fn each_request_of_a_redirected_poll_has_a_span_and_tells_the_backend_of_it() {
    let backend = Backend::listen(|head| match head.starts_with("GET /moved ") {
        true => Reply::Bytes(answer("302 Found", &[("location", "/here?key=hunter2")], b"")),
        false => json(b"[1]"),
    })
    .await;
    let collector = Collector::start(Manner::Takes).await;
    let _replica = traced_replica(&collector, &backend.url("/moved"), "").await;
    let spans = collector.trace("a redirected poll", is("changed")).await;
    let mut requests: Vec<&Span> = spans.iter().filter(|span| span.name == "GET").collect();
    requests.sort_by_key(|span| span.start);
    let [first, second] = requests[..] else { panic!("two requests: {spans:?}") };
    assert_eq!(first.get("http.response.status_code"), "302");
    assert_eq!(first.get("url.full"), backend.url("/moved"));
    assert_eq!(second.get("url.full"), backend.url("/here"));
    assert_eq!(second.get("http.request.resend_count"), "1");
    assert!(first.end <= second.start && !first.failed && !second.failed);
    let told: Vec<_> = backend.requests().iter().filter_map(|head| traceparent(head)).collect();
    for span in [first, second] {
        assert!(told.contains(&(span.trace.clone(), span.id.clone())), "{told:?}");
    }
}

#[tokio::test]
async fn a_poll_that_is_cut_off_by_the_end_is_traced_as_cancelled() {
    let backend = Backend::start(Reply::BytesThenHang(Vec::new())).await;
    let collector = Collector::start(Manner::Takes).await;
    let more = "defaults: { timeout: 10s }\n";
    let replica = traced_replica(&collector, &backend.url("/"), more).await;
    eventually(DEADLINE, "a poll is under way", || async {
        (!backend.requests().is_empty()).then_some(())
    })
    .await;
    replica.signal(rustix::process::Signal::TERM);
    let spans = collector.trace("a cancelled poll", is("cancelled")).await;
    assert_eq!(named(&spans, "GET").get("error.type"), "cancelled");
}
