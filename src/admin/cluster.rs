use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::AdminState;
use crate::hub::{EndpointView, Hub};
use crate::model::{EndpointName, Version};
use crate::store::{Observation, Presence, Pulse, StoreError, Survey, TimelineEntry};

/// The answer of `GET /v1/cluster`: the cluster as one replica sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The cluster's name.
    pub cluster: String,
    /// The replica that answers.
    pub replica: String,
    /// Whether the store answered; without it, what follows is what the replica saw last.
    pub store: StoreReport,
    /// Who leads; null when nobody does.
    pub leader: Option<LeaderReport>,
    /// The newest term; null before the first.
    pub term: Option<u64>,
    /// The replicas heard of within 30 seconds, by name.
    pub replicas: Vec<Presence>,
    /// The latest changes of leadership, the newest first.
    pub timeline: Vec<TimelineEntry>,
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

/// One endpoint as a gateway sees it.
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
}

/// `GET /v1/cluster`
pub(super) async fn show(State(state): State<AdminState>) -> Json<ClusterReport> {
    let survey = state.store.survey().await;
    Json(report(&state, survey))
}

fn report(state: &AdminState, survey: Result<Survey, StoreError>) -> ClusterReport {
    let kind = if state.config.redis.is_some() { "redis" } else { "embedded" }.to_owned();
    let (store, survey) = match survey {
        Ok(survey) => (StoreReport { kind, ok: true, error: None }, survey),
        Err(error) => {
            let error = Some(error.to_string());
            (StoreReport { kind, ok: false, error }, last_seen(state))
        }
    };
    let Survey { observation, replicas, timeline, .. } = survey;
    ClusterReport {
        cluster: state.config.cluster.to_string(),
        replica: state.config.replica.clone(),
        store,
        term: observation.record.as_ref().map(|record| record.term),
        leader: leader(observation),
        replicas,
        timeline,
        endpoints: state.hub.as_deref().map(endpoints),
    }
}

/// What the elector saw last, while the store does not answer.
fn last_seen(state: &AdminState) -> Survey {
    let view =
        state.election.as_ref().map(|election| election.borrow().clone()).unwrap_or_default();
    let now = tokio::time::Instant::now();
    let held_for = view.held_until.and_then(|until| until.checked_duration_since(now));
    let observation =
        Observation { held_for, record: view.record, run_id: String::new(), pulse: Pulse::Unknown };
    Survey { now: 0, observation, replicas: Vec::new(), timeline: Vec::new() }
}

fn leader(observation: Observation) -> Option<LeaderReport> {
    let held_for = observation.held_for?;
    let record = observation.record.filter(|record| !record.lease.is_empty())?;
    Some(LeaderReport {
        replica: record.replica,
        address: record.address,
        term: record.term,
        since: record.since,
        lease_remaining: held_for.as_secs_f64(),
    })
}

fn endpoints(hub: &Hub) -> Vec<EndpointReport> {
    hub.endpoints().iter().map(EndpointReport::from).collect()
}

impl From<&EndpointView> for EndpointReport {
    fn from(view: &EndpointView) -> Self {
        Self {
            name: view.name.clone(),
            version: view.version(),
            age: view.age.map(|age| age.as_secs_f64()),
            stale: view.stale,
            every: view.every.as_secs_f64(),
            stale_after: view.stale_after.as_secs_f64(),
            size: view.size(),
        }
    }
}
