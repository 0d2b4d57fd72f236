//! The server for operators: probes, metrics, and what goes on in the cluster.
//!
//! It is not for clients: it tells addresses and listens on loopback unless configured otherwise.

mod cluster;
mod probes;
mod step_down;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use cluster::{ClusterReport, EndpointReport, LeaderReport, StoreReport};
pub use step_down::StepDownRequested;

use crate::config::Config;
use crate::election::View;
use crate::http::{Problem, method_not_allowed};
use crate::hub::Hub;
use crate::store::Store;
use crate::telemetry::Recorder;

/// What the admin server tells about.
#[derive(Clone)]
pub struct AdminState {
    /// The replica's configuration.
    pub config: Arc<Config>,
    /// The cluster's store.
    pub store: Arc<dyn Store>,
    /// What the elector sees; `None` on a replica that does not poll.
    pub election: Option<watch::Receiver<View>>,
    /// The gateway's snapshots; `None` on a replica that does not serve.
    pub hub: Option<Arc<Hub>>,
    /// The metrics; `None` where nobody collects them.
    pub recorder: Option<Recorder>,
    /// Cancelled once the replica leaves.
    pub leaving: CancellationToken,
}

/// The admin server's routes.
pub fn router(state: AdminState) -> Router {
    Router::new()
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
        .route("/v1/cluster", get(cluster::show))
        .route("/v1/step-down", post(step_down::ask))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(state)
}

async fn no_such_path(uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!(
        "there is nothing at {path}: see /livez, /readyz, /metrics, /v1/cluster, /v1/step-down"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}
