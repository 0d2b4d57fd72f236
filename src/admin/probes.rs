use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AdminState;
use crate::http::Problem;

/// `GET /livez`: the process works. Never asks the store: restarting helps against no outage of it.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: a poller that can stand by is ready, leader or not; a gateway is ready once it has
/// read the store. Both stay so through outages: what they do then is what they are for.
pub(super) async fn ready(State(state): State<AdminState>) -> Result<&'static str, Problem> {
    let unready = |detail: &str| Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
    if state.leaving.is_cancelled() {
        return Err(unready("this replica is leaving"));
    }
    if let Some(election) = &state.election {
        let view = election.borrow();
        if !view.store_seen {
            let error = view.store_error.as_ref().map(ToString::to_string);
            let cause = error.unwrap_or_else(|| "it has not been asked yet".to_owned());
            return Err(unready(&format!("the store has not answered since the start: {cause}")));
        }
    }
    if state.hub.as_ref().is_some_and(|hub| !hub.ready()) {
        return Err(unready("the snapshots have not been read since the start"));
    }
    Ok("ok\n")
}

/// `GET /metrics`, in Prometheus's text format.
pub(super) async fn metrics(State(state): State<AdminState>) -> Result<Response, Problem> {
    let Some(recorder) = &state.recorder else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "this process collects no metrics"));
    };
    // Gauges that change as time passes.
    if let Some(election) = &state.election {
        election.borrow().export();
    }
    let format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((format, recorder.render()).into_response())
}
