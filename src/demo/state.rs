//! What the page shows beside the data: who leads, and what it all costs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::cluster::LEASE;
use super::history::{self, Change};
use super::rate::Rate;
use super::readers::Readers;
use super::replicas::{Replicas, Status};
use crate::admin::EndpointReport;
use crate::hub::Hub;
use crate::store::{EmbeddedStore, Observation, Store as _};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// The demo at one moment. Durations are in seconds, times in ms by the store's clock.
#[derive(Debug, Serialize)]
struct State {
    /// The present.
    now: u64,
    /// The newest term; null before the first.
    term: Option<u64>,
    /// Who leads; null while nobody does.
    leader: Option<String>,
    /// How long a lease lasts.
    lease: f64,
    replicas: Vec<ReplicaState>,
    timeline: Vec<Change>,
    endpoints: Vec<EndpointReport>,
    backend: BackendState,
    readers: ReadersState,
}

/// One replica.
#[derive(Debug, PartialEq, Serialize)]
struct ReplicaState {
    name: String,
    role: ReplicaRole,
    /// The term in which it leads, or led when it crashed.
    term: Option<u64>,
    /// How long the lease is still its own, running or not.
    lease_left: Option<f64>,
    /// When it starts again after a crash; null until another has taken over.
    back_in: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ReplicaRole {
    Leading,
    Standby,
    Crashed,
}

/// What the backend had to do.
#[derive(Debug, Serialize)]
struct BackendState {
    requests: u64,
    /// Those of them answered with 304.
    unchanged: u64,
    /// Requests per second.
    rate: f64,
    /// What they would be if each client polled for itself.
    rate_without: f64,
}

/// What the clients got.
#[derive(Debug, Serialize)]
struct ReadersState {
    /// How many are wanted.
    wanted: usize,
    /// The most there can be.
    room: usize,
    /// Streams that are open, those of pages included.
    clients: u64,
    reads: u64,
    /// Reads per second.
    rate: f64,
}

/// Looks at everything, several times a second, once for all pages.
pub(super) struct Observer {
    store: EmbeddedStore,
    hub: Arc<Hub>,
    backend: Arc<Backend>,
    replicas: Arc<Replicas>,
    readers: Arc<Readers>,
    /// How often a client that follows all endpoints would poll per second.
    polls_per_client: f64,
    requests: Rate,
    reads: Rate,
    states: watch::Sender<Bytes>,
}

impl Observer {
    /// An observer of these parts; `every` are the intervals of the endpoints.
    pub(super) fn new(
        store: EmbeddedStore,
        hub: Arc<Hub>,
        backend: Arc<Backend>,
        replicas: Arc<Replicas>,
        readers: Arc<Readers>,
        every: &[Duration],
    ) -> Self {
        Self {
            store,
            hub,
            backend,
            replicas,
            readers,
            polls_per_client: every.iter().map(|every| every.as_secs_f64().recip()).sum(),
            requests: Rate::default(),
            reads: Rate::default(),
            states: watch::Sender::new(Bytes::new()),
        }
    }

    /// What it sees, as JSON; empty until it has looked once.
    pub(super) fn subscribe(&self) -> watch::Receiver<Bytes> {
        self.states.subscribe()
    }

    /// Looks until `shutdown`.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let mut looks = interval(EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
            if let Some(state) = self.look().await {
                let json = serde_json::to_vec(&state).unwrap_or_default();
                self.states.send_replace(json.into());
            }
        }
    }

    async fn look(&mut self) -> Option<State> {
        let survey = self.store.survey().await.ok()?;
        let replicas: Vec<_> = self
            .replicas
            .statuses()
            .map(|(name, status)| replica(name, &status, &survey.observation))
            .collect();
        let leading = replicas.iter().find(|replica| replica.role == ReplicaRole::Leading);
        Some(State {
            now: survey.now,
            term: survey.observation.record.as_ref().map(|record| record.term),
            leader: leading.map(|replica| replica.name.clone()),
            lease: LEASE.duration.as_secs_f64(),
            timeline: history::tell(&survey.timeline, &self.replicas.crashes()),
            endpoints: self.hub.endpoints().iter().map(EndpointReport::from).collect(),
            backend: self.backend(),
            readers: self.readers(),
            replicas,
        })
    }

    fn backend(&mut self) -> BackendState {
        let load = self.backend.load();
        BackendState {
            requests: load.requests,
            unchanged: load.unchanged,
            rate: self.requests.note(Instant::now(), load.requests),
            rate_without: self.hub.counts().clients as f64 * self.polls_per_client,
        }
    }

    fn readers(&mut self) -> ReadersState {
        let counts = self.hub.counts();
        let reads = counts.deliveries + counts.reads;
        ReadersState {
            wanted: self.readers.wanted(),
            room: self.readers.room(),
            clients: counts.clients,
            reads,
            rate: self.reads.note(Instant::now(), reads),
        }
    }
}

/// What one replica is, as the store and the demo know it.
fn replica(name: &str, status: &Status, seen: &Observation) -> ReplicaState {
    let record = seen.record.as_ref().filter(|record| record.replica == name);
    let lease_left = record.and(seen.held_for);
    let (role, term, back_at) = match status {
        Status::Crashed { term, back_at } => (ReplicaRole::Crashed, Some(*term), *back_at),
        Status::Running(_) if lease_left.is_some() => {
            (ReplicaRole::Leading, record.map(|record| record.term), None)
        }
        Status::Running(_) => (ReplicaRole::Standby, None, None),
    };
    ReplicaState {
        name: name.to_owned(),
        role,
        term,
        lease_left: lease_left.map(|left| left.as_secs_f64()),
        back_in: back_at.map(|at| (at - Instant::now()).as_secs_f64()),
    }
}
