use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::GatewayState;
use super::endpoints::seconds;
use super::query::StreamQuery;
use super::room::Place;
use crate::http::Problem;
use crate::hub::{ClientGuard, Event, Hub, Subscriber};
use crate::model::EndpointName;

/// How long a stream may be silent before a comment shows that it lives.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
const COMMENT: &[u8] = b":\n\n";

/// An empty id, which makes a client forget the last one: it resumes nothing, and gets everything.
const FORGET: &[u8] = b"id:\n\n";

/// When a client whose connection broke connects again, in ms: spread, so that not all come at
/// once after the death of a gateway.
const RETRY_MS: std::ops::Range<u64> = 500..2000;
/// The same when the gateway leaves, and all its clients with it.
const RETRY_LEAVING_MS: std::ops::Range<u64> = 200..5000;

/// After how long a client that found no room may try again.
const RETRY_NO_ROOM: Duration = Duration::from_secs(5);

const TRANSPORT: &str = "sse";

/// `GET /v1/stream`
pub(super) async fn open(
    State(state): State<GatewayState>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = StreamQuery::parse(&query.unwrap_or_default(), &headers)?;
    let names = query.endpoints.iter().map(String::as_str);
    let subscriber = state.hub.subscribe(names, query.since)?;
    let Some(place) = state.room.enter() else {
        state.hub.counters().refused();
        let detail = "this gateway serves as many streams as it may: try again, or another gateway";
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(RETRY_NO_ROOM));
    };
    let connection = Connection {
        client: state.hub.counters().joined(TRANSPORT),
        hub: state.hub,
        subscriber,
        comment: Box::pin(sleep(COMMENT_EVERY)),
        leaving: state.leaving,
        resumable: true,
        over: false,
        _place: place,
    };
    Ok((sse_headers(), connection.into_body()).into_response())
}

fn sse_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-cache, no-transform"),
        // Proxies of nginx's kind must not hold events back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

/// One open stream.
struct Connection {
    hub: std::sync::Arc<Hub>,
    subscriber: Subscriber,
    comment: Pin<Box<Sleep>>,
    leaving: CancellationToken,
    client: ClientGuard,
    /// Whether the last id that the client was given tells what it has.
    resumable: bool,
    /// Whether the client has been told to start over, elsewhere or here.
    over: bool,
    _place: Place,
}

impl Connection {
    /// The stream's bytes. They are made as the client takes them.
    fn into_body(self) -> Body {
        let first = stream::iter([retry(RETRY_MS)]);
        let rest = stream::unfold(Some(self), async |connection| {
            let mut connection = connection?;
            match connection.next().await {
                Some(frames) => Some((frames, Some(connection))),
                None => {
                    connection.client.shut_down();
                    Some((vec![retry(RETRY_LEAVING_MS)], None))
                }
            }
        });
        let frames = first.chain(rest.flat_map(stream::iter));
        Body::from_stream(frames.map(Ok::<_, Infallible>))
    }

    /// The next bytes; `None` when the gateway leaves, or the client is to start over.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        if self.over {
            return None;
        }
        let frames = tokio::select! {
            biased;
            () = self.leaving.cancelled() => return None,
            events = self.subscriber.next() => self.frames(&events),
            () = &mut self.comment => vec![Bytes::from_static(COMMENT)],
        };
        self.comment.as_mut().reset(Instant::now() + COMMENT_EVERY);
        Some(frames)
    }

    fn frames(&mut self, events: &[Event]) -> Vec<Bytes> {
        self.over = events.iter().any(|event| matches!(event, Event::StartOver));
        let delivered = events.iter().filter(|event| event.is_snapshot()).count() as u64;
        self.hub.counters().delivered(TRANSPORT, delivered);
        self.client.handed_over(events);
        let was_resumable = std::mem::replace(&mut self.resumable, self.subscriber.is_complete());
        let mut frames: Vec<Bytes> =
            events.iter().map(|event| frame(event, self.resumable)).collect();
        if was_resumable && !self.resumable {
            frames.push(Bytes::from_static(FORGET));
        }
        frames
    }
}

/// An event as it is sent, on a stream that can be resumed after it or not.
fn frame(event: &Event, resumable: bool) -> Bytes {
    match event {
        Event::Snapshot(snapshot) if resumable => snapshot.event().clone(),
        Event::Snapshot(snapshot) => snapshot.event_without_id(),
        Event::Freshness { endpoint, stale, age } => {
            let age = age.map(seconds);
            let data = serde_json::to_string(&Freshness { endpoint, age }).unwrap_or_default();
            let kind = if *stale { "stale" } else { "fresh" };
            format!("event: {kind}\ndata: {data}\n\n").into()
        }
        Event::Gone(gone) => {
            let head: &[u8] = b"event: gone\ndata: ";
            [head, &gone.json(), b"\n\n"].concat().into()
        }
        Event::StartOver => Bytes::from_static(FORGET),
    }
}

/// The data of `stale` and `fresh`.
#[derive(Serialize)]
struct Freshness<'a> {
    endpoint: &'a EndpointName,
    /// In seconds; null when no good check is known of.
    age: Option<f64>,
}

/// Tells the client when to connect again.
fn retry(ms: std::ops::Range<u64>) -> Bytes {
    format!("retry: {}\n\n", fastrand::u64(ms)).into()
}
