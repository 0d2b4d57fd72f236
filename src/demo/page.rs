//! The page, what it follows, and what its buttons do.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::guard::same_site;
use super::readers::{self, Readers};
use super::replicas::{Crash, Replicas};
use crate::http::{Problem, method_not_allowed};

/// Nothing but what this server itself serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// What the page's requests share.
#[derive(Clone)]
pub(super) struct PageState {
    pub(super) replicas: Arc<Replicas>,
    pub(super) readers: Arc<Readers>,
    /// The demo's state as JSON, whenever it has been looked at.
    pub(super) states: watch::Receiver<Bytes>,
    /// Cancelled when the demo ends.
    pub(super) leaving: CancellationToken,
}

/// The page's routes.
pub(super) fn router(state: PageState) -> Router {
    Router::new()
        .route("/", get(file("text/html", include_str!("page/page.html"))))
        .route("/demo/page.css", get(file("text/css", include_str!("page/page.css"))))
        .route("/demo/page.js", get(file("text/javascript", include_str!("page/page.js"))))
        .route("/demo/chart.js", get(file("text/javascript", include_str!("page/chart.js"))))
        .route("/demo/icon.svg", get(file("image/svg+xml", include_str!("page/icon.svg"))))
        .route("/demo/events", get(events))
        .route("/demo/crash", post(crash))
        .route("/demo/readers", post(set_readers))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

/// Answers with a part of the page. It changes with the program, so nobody keeps it.
fn file(
    kind: &str,
    text: &'static str,
) -> impl Fn() -> std::future::Ready<Response> + Clone + use<> {
    let kind = HeaderValue::try_from(format!("{kind}; charset=utf-8"));
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    move || {
        let headers = [
            (header::CONTENT_TYPE, kind.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        std::future::ready((headers, text).into_response())
    }
}

/// `GET /demo/events`: Server-Sent Events, each with the whole state.
async fn events(State(state): State<PageState>) -> Response {
    let mut states = state.states;
    // The state that is there already is sent at once.
    states.mark_changed();
    let frames = stream::unfold((states, state.leaving), async |(mut states, leaving)| {
        leaving.run_until_cancelled(states.changed()).await?.ok()?;
        let json = states.borrow_and_update().clone();
        Some((Ok::<_, Infallible>(frame(&json)), (states, leaving)))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(frames)).into_response()
}

/// JSON as an event; a comment in place of none.
fn frame(json: &[u8]) -> Bytes {
    if json.is_empty() {
        return Bytes::from_static(b":\n\n");
    }
    [b"data: ", json, b"\n\n"].concat().into()
}

/// `POST /demo/crash`: crashes the leader.
async fn crash(State(state): State<PageState>, headers: HeaderMap) -> Result<Json<Crash>, Problem> {
    same_site(&headers)?;
    state.replicas.crash_leader().await.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, "nobody leads just now: wait for the takeover")
    })
}

#[derive(Deserialize)]
struct Wanted {
    count: usize,
}

/// The answer of `POST /demo/readers`.
#[derive(Serialize)]
struct Granted {
    /// How many there will be: fewer than wanted where open files are limited.
    count: usize,
}

/// `POST /demo/readers?count=N`: sets how many simulated clients read.
async fn set_readers(
    State(state): State<PageState>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Granted>, Problem> {
    same_site(&headers)?;
    let wanted = wanted.ok().map(|Query(wanted)| wanted.count);
    match wanted.filter(|count| *count <= readers::MOST) {
        Some(count) => Ok(Json(Granted { count: state.readers.want(count) })),
        None => Err(Problem::bad_request(format!(
            "expected ?count=N with a whole number from 0 to {}",
            readers::MOST
        ))),
    }
}
