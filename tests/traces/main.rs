//! Traces: what a collector gets, what the backend learns, and that nobody waits for either.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes helpers of integration tests for other code"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "../backend/mod.rs"]
mod backend;
mod collector;
#[path = "../common/mod.rs"]
mod common;

mod polls;
mod reload;
mod sampling;
mod secrets;
mod trouble;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backend::{Backend, Reply, answer};
use collector::Span;

/// Long enough for a loaded machine; nothing waits for it but a failing test.
const DEADLINE: Duration = Duration::from_secs(20);

/// A configuration of one endpoint, `a`, polled five times a second.
fn configuration(url: &str, more: &str) -> String {
    format!("cluster: test\n{more}endpoints:\n  - {{ name: a, url: \"{url}\", every: 200ms }}\n")
}

/// The settings that trace all polls.
fn traced(collector: &str) -> String {
    format!("traces: {{ endpoint: \"{collector}\", ratio: 1 }}\n")
}

/// A backend whose answer is another each time.
async fn changing_backend() -> Backend {
    let count = AtomicU64::new(0);
    Backend::listen(move |_| {
        let body = format!("[{}]", count.fetch_add(1, Ordering::Relaxed));
        json(body.as_bytes())
    })
    .await
}

fn json(body: &[u8]) -> Reply {
    Reply::Bytes(answer("200 OK", &[("content-type", "application/json")], body))
}

/// The trace and span that a request tells of.
fn traceparent(head: &str) -> Option<(String, String)> {
    let line = head.lines().find_map(|line| line.strip_prefix("traceparent: "))?;
    let mut parts = line.trim().split('-');
    assert_eq!(parts.next(), Some("00"), "{line}");
    let (trace, span) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    assert_eq!((trace.len(), span.len()), (32, 16), "{line}");
    assert_eq!((parts.next(), parts.next()), (Some("01"), None), "{line}");
    Some((trace, span))
}

/// The one span of a trace with this name.
fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("{name}: {spans:?}"));
    assert!(found.next().is_none(), "{name} once: {spans:?}");
    span
}

fn has(spans: &[Span], name: &str) -> bool {
    spans.iter().any(|span| span.name == name)
}
