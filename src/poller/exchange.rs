//! The requests of one poll as its trace shows them, by the conventions for HTTP clients.

use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Request, Response, Version};

use super::excerpt;
use super::failure::PollFailure;
use super::fetch::Fetched;
use super::trace::{Parent, number};

/// How a backend learns of the trace (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The requests of the present poll, one after the other; nothing, where it is not traced.
pub(super) struct Exchange {
    parent: Option<Parent>,
    /// The request that is under way.
    request: Option<Context>,
    /// How many requests have been sent.
    sent: u64,
}

impl Exchange {
    pub(super) fn of_this_poll() -> Self {
        Self { parent: Parent::of_this_poll(), request: None, sent: 0 }
    }

    /// A request is about to be sent. Tells the backend of the trace, unless the configuration
    /// tells it of another.
    pub(super) fn sends(&mut self, request: &mut Request) {
        self.end_request(None);
        let Some(parent) = &self.parent else { return };
        let url = request.url();
        let mut attributes = vec![
            KeyValue::new("http.request.method", request.method().to_string()),
            KeyValue::new("url.full", excerpt::place(url)),
            KeyValue::new("server.address", url.host_str().unwrap_or_default().to_owned()),
        ];
        let port = url.port_or_known_default();
        attributes.extend(port.map(|port| KeyValue::new("server.port", i64::from(port))));
        if self.sent > 0 {
            attributes.push(KeyValue::new("http.request.resend_count", number(self.sent)));
        }
        let span = parent.child(request.method().to_string(), SpanKind::Client, attributes);
        if !request.headers().contains_key(TRACEPARENT)
            && let Some(traceparent) = traceparent(&span)
        {
            request.headers_mut().insert(TRACEPARENT, traceparent);
        }
        self.request = Some(span);
        self.sent += 1;
    }

    /// The head of an answer is there.
    pub(super) fn answered(&self, response: &Response) {
        let Some(request) = &self.request else { return };
        let (span, status) = (request.span(), response.status());
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        if let Some(version) = version(response.version()) {
            span.set_attribute(KeyValue::new("network.protocol.version", version));
        }
        if let Some(peer) = response.remote_addr() {
            span.set_attribute(KeyValue::new("network.peer.address", peer.ip().to_string()));
            span.set_attribute(KeyValue::new("network.peer.port", i64::from(peer.port())));
        }
        // Known, without what takes no part in it, of a body that was not compressed.
        if let Some(size) = response.content_length() {
            span.set_attribute(KeyValue::new("http.response.body.size", number(size)));
        }
        if status.is_client_error() || status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// The poll is over.
    pub(super) fn ended(mut self, result: &Result<Fetched, PollFailure>) {
        self.end_request(result.as_ref().err());
    }

    fn end_request(&mut self, failure: Option<&PollFailure>) {
        let Some(request) = self.request.take() else { return };
        let span = request.span();
        // An answer that came whole, but is not what was expected, is no error of the request.
        if let Some(failure) = failure.filter(|failure| !failure.kind.is_answer()) {
            span.set_attribute(KeyValue::new("error.type", failure.kind.as_str()));
            span.set_status(Status::error(failure.kind.as_str()));
        }
        span.end();
    }
}

/// A poll that is dropped leaves its request without an answer.
impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            request.span().set_attribute(KeyValue::new("error.type", "cancelled"));
            request.span().end();
        }
    }
}

/// What tells the backend which span its own belong below. Whatever has a span was drawn, and is
/// said to be.
fn traceparent(span: &Context) -> Option<HeaderValue> {
    let span = span.span();
    let context = span.span_context();
    let (trace, id, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    HeaderValue::try_from(format!("00-{trace}-{id}-{flags:02x}")).ok()
}

fn version(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
