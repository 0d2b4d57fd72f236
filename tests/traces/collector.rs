use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::DEADLINE;
use super::common::eventually;

/// What a collector does with spans.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Takes them.
    Takes,
    /// Refuses them.
    Refuses,
    /// Never answers.
    Hangs,
}

/// A collector that takes OTLP/HTTP as the real ones do: binary protobuf at `/v1/traces`.
pub(crate) struct Collector {
    address: SocketAddr,
    got: Arc<Got>,
    _serving: JoinSet<()>,
}

struct Got {
    manner: Manner,
    /// All bodies so far, and the headers they came with.
    requests: Mutex<Vec<(HeaderMap, Bytes)>>,
}

/// A span as it arrived, its attributes as text.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) kind: SpanKind,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) failed: bool,
    pub(crate) resource: BTreeMap<String, String>,
}

impl Span {
    pub(crate) fn get(&self, attribute: &str) -> &str {
        self.attributes.get(attribute).map_or("", String::as_str)
    }
}

impl Collector {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Got { manner, requests: Mutex::default() });
        let routes = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&got));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, got, _serving: serving }
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<(HeaderMap, Bytes)> {
        self.got.requests.lock().clone()
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.requests().iter().flat_map(|(_, body)| decode(body)).collect()
    }

    /// Waits until all spans of some trace are there: those for which `complete` holds.
    pub(crate) async fn trace(&self, what: &str, complete: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(DEADLINE, what, || async {
            let mut traces: BTreeMap<String, Vec<Span>> = BTreeMap::new();
            for span in self.spans() {
                traces.entry(span.trace.clone()).or_default().push(span);
            }
            traces.into_values().find(|spans| complete(spans))
        })
        .await
    }
}

async fn take(
    State(got): State<Arc<Got>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static [u8]) {
    got.requests.lock().push((headers, body));
    match got.manner {
        Manner::Takes => (StatusCode::OK, b""),
        Manner::Refuses => (StatusCode::SERVICE_UNAVAILABLE, b""),
        Manner::Hangs => loop {
            tokio::time::sleep(Duration::from_secs(3600)).await;
        },
    }
}

fn decode(body: &Bytes) -> Vec<Span> {
    let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = attributes(group.resource.expect("a resource").attributes);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                kind: span.kind(),
                name: span.name,
                start: span.start_time_unix_nano,
                end: span.end_time_unix_nano,
                attributes: attributes(span.attributes),
                failed: span.status.is_some_and(|status| status.code() == SpanStatus::Error),
                resource: resource.clone(),
            });
        }
    }
    spans
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let count = pairs.len();
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::DoubleValue(number)) => number.to_string(),
        other => panic!("another kind of value: {other:?}"),
    };
    let map: BTreeMap<_, _> = pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect();
    assert_eq!(map.len(), count, "each attribute once: {map:?}");
    map
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
