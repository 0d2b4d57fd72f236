use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::AdminState;
use super::report::{self, Polls};
use crate::hub::EndpointView;
use crate::model::{EndpointName, Version};
use crate::poller::PollReport;
use crate::store::{Presence, TimelineEntry};

/// The answer of `GET /v1/cluster`: the cluster as one replica sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The cluster's name.
    pub cluster: String,
    /// The replica that answers.
    pub replica: String,
    /// The time by the store's clock, in ms; null while the store does not answer.
    #[serde(default)]
    pub now: Option<u64>,
    /// Whether the store answered; without it, what follows is what the replica saw last.
    pub store: StoreReport,
    /// Who leads; null when nobody does.
    pub leader: Option<LeaderReport>,
    /// The newest term; null before the first.
    pub term: Option<u64>,
    /// The replicas heard of within 30 seconds, by name.
    pub replicas: Vec<Presence>,
    /// What those replicas have served, and what it cost.
    #[serde(default)]
    pub served: ServedReport,
    /// The latest changes of leadership, the newest first.
    pub timeline: Vec<TimelineEntry>,
    /// Whose polls are shown with the endpoints.
    #[serde(default)]
    pub polls: PollsSource,
    /// The endpoints, as this replica's gateway sees them; null where it serves none.
    pub endpoints: Option<Vec<EndpointReport>>,
}

/// How the store is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreReport {
    /// `redis` or `embedded`.
    pub kind: String,
    /// Whether it answered just now.
    pub ok: bool,
    /// Why it did not.
    pub error: Option<String>,
}

/// Who leads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LeaderReport {
    /// Its name.
    pub replica: String,
    /// Its admin address.
    pub address: String,
    /// Its term.
    pub term: u64,
    /// When it claimed, in ms by the store's clock.
    pub since: u64,
    /// How long its lease is still held unless renewed, in seconds.
    pub lease_remaining: f64,
}

/// What the replicas heard of have served since they started, and the polls that it took. They tell
/// it every ten seconds; what one has served that is gone is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedReport {
    /// Requests for endpoints that were answered.
    pub reads: u64,
    /// Snapshots handed to the connections of streams.
    pub deliveries: u64,
    /// Polls sent to backends.
    pub polls: u64,
    /// The requests that backends were spared, if each read and each delivery had been one:
    /// `reads` + `deliveries` − `polls`. Negative where few clients read.
    pub saved: i64,
    /// When the first of these replicas started, in ms by the store's clock; null where it is not
    /// known.
    pub since: Option<u64>,
}

/// Whose polls are shown, or why none are: the leader alone knows of its polls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollsSource {
    /// The leader that told them; null where none are shown.
    pub replica: Option<String>,
    /// Why none are shown.
    pub error: Option<String>,
}

/// One endpoint as a gateway sees it, and its polls as the leader does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its name.
    pub name: EndpointName,
    /// The version of its snapshot; null when it was never fetched.
    pub version: Option<Version>,
    /// The time since its last good check, in seconds; null when none is known of.
    pub age: Option<f64>,
    /// Whether its snapshot is older than `stale_after`.
    pub stale: bool,
    /// Its interval, in seconds.
    pub every: f64,
    /// The age from which it is stale, in seconds.
    pub stale_after: f64,
    /// The size of its body, in bytes.
    pub size: Option<usize>,
    /// The media type of its body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// When it is polled next, in ms by the store's clock; null where that is not known.
    #[serde(default)]
    pub next_due: Option<u64>,
    /// Failed polls in a row.
    #[serde(default)]
    pub failures: u32,
    /// While its breaker is open: before when it is not polled, in ms by the store's clock.
    #[serde(default)]
    pub retry_at: Option<u64>,
    /// Its latest polls, 30 at most, the oldest first. Of more than 300 endpoints, those that fail
    /// and the first in the configuration have them, and the others none.
    #[serde(default)]
    pub polls: Vec<PollReport>,
}

/// `GET /v1/cluster`
pub(super) async fn show(State(state): State<AdminState>) -> Json<ClusterReport> {
    Json(report::make(&state, Polls::Ask).await)
}

/// Without its polls.
impl From<&EndpointView> for EndpointReport {
    fn from(view: &EndpointView) -> Self {
        let publication = view.snapshot.as_ref().map(|snapshot| snapshot.publication());
        Self {
            name: view.name.clone(),
            version: view.version(),
            age: view.age.map(|age| age.as_secs_f64()),
            stale: view.stale,
            every: view.every.as_secs_f64(),
            stale_after: view.stale_after.as_secs_f64(),
            size: view.size(),
            content_type: publication.map(|publication| publication.content_type.clone()),
            next_due: None,
            failures: 0,
            retry_at: None,
            polls: Vec::new(),
        }
    }
}
