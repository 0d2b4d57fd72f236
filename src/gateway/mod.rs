//! The server for clients: snapshots by request, and streams of what changes.
//!
//! It knows the [`Hub`] alone: where the snapshots come from, and who leads, is not its concern.

mod conditional;
mod endpoints;
mod query;
mod room;
mod stream;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

pub use query::MOST_ENDPOINTS;
pub use room::Room;

use crate::http::{Problem, method_not_allowed};
use crate::hub::{Hub, UnknownEndpoint};

/// What the gateway's requests share.
#[derive(Clone)]
pub struct GatewayState {
    hub: Arc<Hub>,
    /// Room for streams.
    room: Room,
    /// Cancelled when the gateway leaves.
    leaving: CancellationToken,
}

impl GatewayState {
    /// Serves from `hub` as many streams as there is room for, until `leaving` ends them.
    pub fn new(hub: Arc<Hub>, room: Room, leaving: CancellationToken) -> Self {
        Self { hub, room, leaving }
    }
}

/// The gateway's routes. Every error is a problem document (RFC 9457).
pub fn router(state: GatewayState) -> Router {
    Router::new()
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/{name}", get(endpoints::show))
        .route("/v1/stream", get(stream::open))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

impl From<UnknownEndpoint> for Problem {
    fn from(error: UnknownEndpoint) -> Self {
        let detail = format!("{error}: GET /v1/endpoints lists those there are");
        Self::new(StatusCode::NOT_FOUND, detail)
    }
}

/// Answers a path that is none of the gateway's.
async fn no_such_path(uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!(
        "there is nothing at {path}: see /v1/endpoints, /v1/endpoints/{{name}}, /v1/stream"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}
