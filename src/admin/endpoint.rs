//! What was polled, for operators: the current body, and the one before.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{AdminState, unanswered};
use crate::http::Problem;
use crate::model::{EndpointName, Publication};

/// A body is a third party's: a browser that shows it runs and loads nothing.
const POLICY: &str = "sandbox; default-src 'none'";
/// How many publications tell a difference.
const COMPARED: usize = 2;
/// When to ask again for a history while another one is read.
const BUSY: Duration = Duration::from_secs(1);

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
    let turn = Arc::clone(state.viewers.history()).try_acquire_owned().map_err(|_| {
        let detail = "somebody else reads a history at the moment, and this replica reads one at a \
                      time: ask again";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(BUSY)
    })?;
    let (store, wanted) = (state.store, name.clone());
    // Whoever goes away cannot call back what Redis was asked: the turn ends with the answer.
    let reading = tokio::spawn(async move {
        let found = store.history(&wanted, COMPARED).await;
        drop(turn);
        found
    });
    let publications = reading.await.map_err(|_| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the replica ends while it reads this")
    })?;
    let publications = publications.map_err(unanswered)?;
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
    let known = match &state.hub {
        Some(hub) => hub.endpoint(&name).is_some(),
        None => state.config.endpoints.iter().any(|endpoint| endpoint.name.as_str() == name),
    };
    EndpointName::new(&name).ok().filter(|_| known).ok_or_else(|| {
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
