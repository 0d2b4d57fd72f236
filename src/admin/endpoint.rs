//! What was polled, for operators: the current body, and the one before.

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AdminState;
use crate::http::Problem;
use crate::model::{EndpointName, Publication};
use crate::store::StoreError;

/// A body is a third party's: a browser that shows it runs and loads nothing.
const POLICY: &str = "sandbox; default-src 'none'";
/// How many publications tell a difference.
const COMPARED: usize = 2;

/// `GET /v1/endpoints/{name}`: the current body.
pub(super) async fn body(
    State(state): State<AdminState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = configured(&state, name)?;
    let publication = match &state.hub {
        Some(hub) => hub
            .endpoint(name.as_str())
            .and_then(|view| view.snapshot)
            .map(|snapshot| snapshot.publication().clone()),
        None => {
            let names = [name.clone()];
            state.store.read(&names).await.map_err(unanswered)?.snapshots.pop()
        }
    };
    let publication = publication.ok_or_else(|| {
        let detail = format!("{name} was never fetched yet");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    let content_type = HeaderValue::try_from(&publication.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let body = publication.body.bytes().clone();
    Ok(([(header::CONTENT_TYPE, content_type)], guarded(body)).into_response())
}

/// `GET /v1/endpoints/{name}/history`: the last two publications, the newest first.
pub(super) async fn history(
    State(state): State<AdminState>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let name = configured(&state, name)?;
    if state.config.history == 0 {
        let detail = "no history is kept: the setting history says how many publications to keep";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    let publications = state.store.history(&name, COMPARED).await.map_err(unanswered)?;
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json)], guarded(list(&name, &publications))).into_response())
}

/// Publications as they are on the wire, in a list.
fn list(name: &EndpointName, publications: &[Publication]) -> Bytes {
    // Names hold nothing that JSON would escape.
    let mut json = format!("{{\"endpoint\":\"{name}\",\"publications\":[").into_bytes();
    for (number, publication) in publications.iter().enumerate() {
        if number > 0 {
            json.push(b',');
        }
        json.extend_from_slice(publication.json());
    }
    json.extend_from_slice(b"]}");
    json.into()
}

/// The endpoint of that name.
fn configured(
    state: &AdminState,
    name: Result<Path<String>, PathRejection>,
) -> Result<EndpointName, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let names = state.config.endpoints.iter().map(|endpoint| &endpoint.name);
    names.clone().find(|known| known.as_str() == name).cloned().ok_or_else(|| {
        let detail = "no endpoint of that name is configured here: see /v1/cluster";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })
}

fn guarded(body: Bytes) -> Response {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    (headers, body).into_response()
}

fn unanswered(error: StoreError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}
