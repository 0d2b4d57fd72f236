use super::backend::{Backend, Reply, answer};
use super::collector::{Collector, Manner};
use super::common::eventually;
use super::common::replica::Replica;
use super::{DEADLINE, configuration, has};

/// Those of the configuration.
const SECRETS: [&str; 4] = ["url-password", "query-secret", "header-secret", "collector-secret"];
/// What the backend sends, in its redirects and in its answers.
const SENT: [&str; 2] = ["location-secret", "body-secret"];

#[tokio::test]
async fn no_secret_is_in_a_span_or_a_log() {
    let backend = Backend::listen(|head| match head.starts_with("GET /sent-on") {
        // The backend echoes what it was asked with.
        true => {
            let page = format!("<h1>body-secret</h1>{head}");
            Reply::Bytes(answer("200 OK", &[("content-type", "text/html")], page.as_bytes()))
        }
        false => {
            let place = "/sent-on?ticket=location-secret#location-secret";
            Reply::Bytes(answer("302 Found", &[("location", place)], b""))
        }
    })
    .await;
    let collector = Collector::start(Manner::Takes).await;
    let more = format!(
        "defaults: {{ headers: {{ X-Api-Key: header-secret }} }}\n\
         traces:\n  endpoint: \"{}/\"\n  ratio: 1\n  headers: {{ Authorization: Bearer collector-secret }}\n",
        collector.url()
    );
    let url = format!("http://user:url-password@{}/?key=query-secret", backend.address);
    let verbose = |command: &mut std::process::Command| {
        command.env("RUST_LOG", "pollux=trace,info");
    };
    let replica = Replica::start_with("castor", &configuration(&url, &more), verbose).await;
    collector.trace("a failed poll", |spans| has(spans, "poll a") && spans.len() == 3).await;
    let requests = collector.requests();
    for (headers, body) in &requests {
        assert_eq!(headers["authorization"], "Bearer collector-secret");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let body = String::from_utf8_lossy(body);
        for secret in SECRETS.into_iter().chain(SENT) {
            assert!(!body.contains(secret), "{secret}: {body}");
        }
    }
    eventually(DEADLINE, "the failure is logged", || async {
        replica.log().contains("poll failed").then_some(())
    })
    .await;
    let log = replica.log();
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

/// Where spans go is a matter of the configuration alone.
#[tokio::test]
async fn variables_of_opentelemetry_change_nothing() {
    let backend = super::changing_backend().await;
    let (collector, other) =
        (Collector::start(Manner::Takes).await, Collector::start(Manner::Takes).await);
    let configuration = configuration(&backend.url("/"), &super::traced(&collector.url()));
    let variables = |command: &mut std::process::Command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", other.url())
            .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", other.url())
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-foreign=1")
            .env("OTEL_RESOURCE_ATTRIBUTES", "service.name=foreign,foreign=1")
            .env("OTEL_SERVICE_NAME", "foreign")
            .env("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1")
            .env("OTEL_TRACES_SAMPLER", "always_off");
    };
    let _replica = Replica::start_with("castor", &configuration, variables).await;
    let spans = collector.trace("a published poll", |spans| has(spans, "publish a")).await;
    let poll = super::named(&spans, "poll a");
    assert_eq!(poll.resource["service.name"], "pollux");
    assert!(!poll.resource.contains_key("foreign"));
    assert_eq!(poll.get("pollux.poll.outcome"), "changed");
    assert!(collector.requests().iter().all(|(headers, _)| !headers.contains_key("x-foreign")));
    assert!(other.requests().is_empty());
}
