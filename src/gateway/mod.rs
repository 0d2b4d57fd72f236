//! The server for clients: snapshots by request, and streams of what changes.
//!
//! It knows the [`Hub`] alone: where the snapshots come from, and who leads, is not its concern.

mod conditional;
mod endpoints;
mod problem;
mod query;
mod serve;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use query::MOST_ENDPOINTS;
pub use serve::serve;

use crate::hub::Hub;

/// What the gateway's requests share.
#[derive(Clone)]
pub struct GatewayState {
    hub: Arc<Hub>,
    /// Room for streams.
    room: Arc<Semaphore>,
    /// How long open connections may take once the gateway leaves.
    drain: Duration,
    /// Cancelled when the gateway leaves.
    leaving: CancellationToken,
}

impl GatewayState {
    /// Serves from `hub` at most `max_streams` streams at once. When the gateway leaves, open
    /// connections have the time `drain` to finish.
    pub fn new(hub: Arc<Hub>, max_streams: usize, drain: Duration) -> Self {
        Self {
            hub,
            room: Arc::new(Semaphore::new(max_streams.min(Semaphore::MAX_PERMITS))),
            drain,
            leaving: CancellationToken::new(),
        }
    }
}

/// The gateway's routes. Every error is a problem document (RFC 9457).
pub fn router(state: GatewayState) -> Router {
    Router::new()
        .route("/v1/endpoints", get(endpoints::list))
        .route("/v1/endpoints/{name}", get(endpoints::show))
        .route("/v1/stream", get(stream::open))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(state)
}
