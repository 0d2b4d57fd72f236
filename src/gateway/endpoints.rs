use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::GatewayState;
use super::conditional::not_modified;
use crate::http::Problem;
use crate::hub::{EndpointView, Hub, Snapshot, UnknownEndpoint};
use crate::model::{EndpointName, Version};

/// Whether a snapshot is stale.
const STALE: HeaderName = HeaderName::from_static("pollux-stale");

/// Caches may store a snapshot but ask every time whether there is a newer one, which costs a 304
/// without a body. If no gateway answers they may go on with theirs for a minute: its `Age` tells
/// how old it is.
const CACHING: HeaderValue = HeaderValue::from_static("max-age=0, stale-if-error=60");

/// The longest that a client is told to wait for a first snapshot.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Serialize)]
struct List {
    endpoints: Vec<Item>,
}

/// An endpoint in the list; durations in seconds.
#[derive(Serialize)]
struct Item {
    name: EndpointName,
    /// Null when it was never fetched.
    version: Option<Version>,
    /// Null when no good check is known of.
    age: Option<f64>,
    stale: bool,
    every: f64,
    stale_after: f64,
}

impl From<EndpointView> for Item {
    fn from(view: EndpointView) -> Self {
        Self {
            version: view.version(),
            age: view.age.map(seconds),
            stale: view.stale,
            every: seconds(view.every),
            stale_after: seconds(view.stale_after),
            name: view.name,
        }
    }
}

/// Seconds to the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    duration.as_millis() as f64 / 1000.0
}

/// `GET /v1/endpoints`
pub(super) async fn list(State(state): State<GatewayState>) -> Response {
    let endpoints = state.hub.endpoints().into_iter().map(Item::from).collect();
    let unstored = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    counted(&state.hub, (unstored, Json(List { endpoints })))
}

/// `GET /v1/endpoints/{name}`
pub(super) async fn show(
    State(state): State<GatewayState>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    // A name that is no UTF-8 is no endpoint's.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    counted(&state.hub, answer(&state.hub, &name, &headers))
}

fn answer(hub: &Hub, name: &str, headers: &HeaderMap) -> Result<Response, Problem> {
    let view = hub.endpoint(name).ok_or_else(|| UnknownEndpoint(name.to_owned()))?;
    let Some(snapshot) = &view.snapshot else {
        return Err(never_fetched(&view));
    };
    // A 304 repeats the client's own tag: it may be newer than this gateway's, and is to be kept.
    Ok(match not_modified(headers, snapshot.version()) {
        Some(has) => (StatusCode::NOT_MODIFIED, facts(&view, has)).into_response(),
        None => {
            let body = snapshot.publication().body.bytes().clone();
            let kinds = content_type(snapshot);
            (facts(&view, snapshot.version()), kinds, body).into_response()
        }
    })
}

/// What both a body and a 304 say.
fn facts(view: &EndpointView, version: Version) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // A version is digits and a hyphen.
    if let Ok(tag) = HeaderValue::from_str(&format!("W/\"{version}\"")) {
        headers.insert(header::ETAG, tag);
    }
    let vary = HeaderValue::from_static("accept-encoding");
    headers.insert(header::VARY, vary);
    headers.insert(header::CACHE_CONTROL, CACHING);
    if let Some(age) = view.age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
    let stale = if view.stale { "true" } else { "false" };
    headers.insert(STALE, HeaderValue::from_static(stale));
    headers
}

/// The media type that the backend gave, which browsers must not guess better than.
fn content_type(snapshot: &Snapshot) -> [(HeaderName, HeaderValue); 2] {
    let given = HeaderValue::from_str(&snapshot.publication().content_type);
    let unknown = HeaderValue::from_static("application/octet-stream");
    [
        (header::CONTENT_TYPE, given.unwrap_or(unknown)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ]
}

fn never_fetched(view: &EndpointView) -> Problem {
    let name = &view.name;
    let detail = format!("{name} was not fetched with success yet: try again later");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(view.every.min(LONGEST_WAIT))
}

/// Counts an answer.
fn counted(hub: &Hub, answer: impl IntoResponse) -> Response {
    let response = answer.into_response();
    hub.counters().read(response.status().as_u16());
    response
}
