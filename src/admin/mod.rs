//! The server for operators: probes, metrics, and what goes on in the cluster.
//!
//! It is not for clients: it tells addresses and listens on loopback unless configured otherwise.

mod cluster;
mod endpoint;
mod guard;
mod leader_polls;
mod page;
mod probes;
mod report;
mod step_down;
mod stream;

use std::future::pending;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use cluster::{
    ClusterReport, EndpointReport, LeaderReport, PollsSource, ServedReport, StoreReport,
};
pub(crate) use leader_polls::LeaderPolls;
pub use step_down::StepDownRequested;
pub(crate) use stream::{Viewers, inform_viewers};

use crate::config::Config;
use crate::election::View;
use crate::http::{Problem, method_not_allowed};
use crate::hub::Hub;
use crate::poller::{Journal, PolledEndpoint};
use crate::store::{Store, StoreError};
use crate::telemetry::Recorder;

/// What the admin server tells about.
#[derive(Clone)]
pub(crate) struct AdminState {
    /// The replica's configuration.
    pub config: Arc<Config>,
    /// The cluster's store.
    pub store: Arc<dyn Store>,
    /// What the elector sees; `None` on a replica that does not poll.
    pub election: Option<watch::Receiver<View>>,
    /// The gateway's snapshots; `None` on a replica that does not serve.
    pub hub: Option<Arc<Hub>>,
    /// The latest polls, if this replica leads; `None` on one that does not poll.
    pub journal: Option<Arc<Journal>>,
    /// Asks leaders for theirs.
    pub leader_polls: LeaderPolls,
    /// Those who look at the page.
    pub viewers: Viewers,
    /// The metrics; `None` where nobody collects them.
    pub recorder: Option<Recorder>,
    /// Cancelled once the replica leaves.
    pub leaving: CancellationToken,
}

impl AdminState {
    /// What this replica knows of its polls, if it leads.
    fn own_polls(&self) -> Option<Vec<PolledEndpoint>> {
        self.election.as_ref()?.borrow().leading?;
        Some(self.journal.as_ref()?.endpoints())
    }
}

/// What the admin server tells about at the moment: parts of a replica are started anew with another
/// configuration.
#[derive(Clone)]
pub(crate) struct AdminSource(watch::Receiver<AdminState>);

impl AdminSource {
    pub(crate) fn new(newest: watch::Receiver<AdminState>) -> Self {
        Self(newest)
    }

    fn now(&self) -> AdminState {
        self.0.borrow().clone()
    }

    /// Waits until something is another. Once nothing can be, for ever.
    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            pending().await
        }
    }
}

impl FromRef<AdminSource> for AdminState {
    fn from_ref(source: &AdminSource) -> Self {
        source.now()
    }
}

/// The admin server's routes.
pub(crate) fn router(source: AdminSource) -> Router {
    let guarded = page::routes()
        .route("/v1/cluster", get(cluster::show))
        .route("/v1/cluster/stream", get(stream::follow))
        .route("/v1/polls", get(leader_polls::show))
        .route("/v1/endpoints/{name}", get(endpoint::body))
        .route("/v1/endpoints/{name}/history", get(endpoint::history))
        .route("/v1/step-down", post(step_down::ask))
        .route_layer(from_fn_with_state(source.clone(), guard::own_requests));
    guarded
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(probes::metrics))
        .fallback(no_such_path)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(source)
}

/// Tells why the store did not answer.
fn unanswered(error: StoreError) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn no_such_path(uri: Uri) -> Problem {
    let path = uri.path();
    let detail = format!(
        "there is nothing at {path}: see /, /livez, /readyz, /metrics, /v1/cluster, \
         /v1/cluster/stream, /v1/polls, /v1/endpoints/{{name}}, \
         /v1/endpoints/{{name}}/history, /v1/step-down"
    );
    Problem::new(StatusCode::NOT_FOUND, detail)
}
