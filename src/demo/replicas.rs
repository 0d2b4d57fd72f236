//! The three replicas: each runs, may crash, and comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::cluster::{self, ANY_PORT, REPLICAS};
use crate::app::{App, AppError, Role};
use crate::clock::Clock;
use crate::config::{Config, EndpointConfig};
use crate::store::{EmbeddedStore, Store as _};

/// How long after the takeover a crashed replica starts again: time enough to see what happened.
const BACK_AFTER: Duration = Duration::from_secs(4);
/// How long it waits for that takeover: with all others down, nobody takes over.
const TAKEOVER: Duration = Duration::from_secs(4);
/// How often it looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How many crashes are remembered.
const CRASHES: usize = 20;

/// A crash that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Crash {
    /// When, in ms by the store's clock.
    pub(super) at: u64,
    /// Who.
    pub(super) replica: String,
    /// The term in which it led.
    pub(super) term: u64,
}

/// The three replicas of one cluster.
pub(super) struct Replicas {
    store: EmbeddedStore,
    replicas: Vec<Arc<Replica>>,
    crashes: Mutex<VecDeque<Crash>>,
}

/// One of them.
struct Replica {
    config: Config,
    status: Mutex<Status>,
}

/// What a replica is doing.
#[derive(Clone, Debug)]
pub(super) enum Status {
    /// It runs, until its token is cancelled.
    Running(CancellationToken),
    /// It crashed while it led.
    Crashed {
        /// In this term.
        term: u64,
        /// When it starts again; `None` until another has taken over.
        back_at: Option<Instant>,
    },
}

impl Replicas {
    /// Replicas that poll `endpoints` for a store.
    pub(super) fn new(
        store: EmbeddedStore,
        endpoints: Vec<EndpointConfig>,
    ) -> Result<Self, DemoError> {
        let replica = |name| {
            let config = cluster::config(name, ANY_PORT, endpoints.clone())?;
            let status = Mutex::new(Status::Running(CancellationToken::new()));
            Ok(Arc::new(Replica { config, status }))
        };
        let replicas = REPLICAS.into_iter().map(replica).collect::<Result<_, DemoError>>()?;
        Ok(Self { store, replicas, crashes: Mutex::default() })
    }

    /// Starts them all, to hand over and end on `shutdown`.
    pub(super) fn start(
        &self,
        tasks: &mut JoinSet<Result<(), AppError>>,
        shutdown: &CancellationToken,
    ) {
        for replica in &self.replicas {
            tasks.spawn(Arc::clone(replica).live(self.store.clone(), shutdown.clone()));
        }
    }

    /// Crashes the replica that holds the lease. `None`: nobody does who still runs.
    pub(super) async fn crash_leader(&self) -> Option<Crash> {
        let survey = self.store.survey().await.ok()?;
        survey.observation.held_for?;
        let record = survey.observation.record?;
        let leader = self.replicas.iter().find(|replica| replica.name() == record.replica)?;
        if !leader.crash(record.term) {
            return None;
        }
        let crash = Crash { at: survey.now, replica: record.replica, term: record.term };
        let mut crashes = self.crashes.lock();
        crashes.push_front(crash.clone());
        crashes.truncate(CRASHES);
        Some(crash)
    }

    /// The latest crashes, the newest first.
    pub(super) fn crashes(&self) -> Vec<Crash> {
        self.crashes.lock().iter().cloned().collect()
    }

    /// What each replica is doing, by name.
    pub(super) fn statuses(&self) -> impl Iterator<Item = (&str, Status)> {
        self.replicas.iter().map(|replica| (replica.name(), replica.status.lock().clone()))
    }
}

impl Replica {
    fn name(&self) -> &str {
        &self.config.replica
    }

    /// Runs, and comes back after each crash, until `shutdown`.
    async fn live(
        self: Arc<Self>,
        store: EmbeddedStore,
        shutdown: CancellationToken,
    ) -> Result<(), AppError> {
        loop {
            let life = self.begin();
            let config = self.config.clone();
            let app =
                App::with_store(config, Role::Poller, Arc::new(store.clone()), Clock::Process);
            // Dropped where it stands, as SIGKILL would end it: nothing is released or handed over.
            if let Some(ended) = life.run_until_cancelled(app.await?.run(shutdown.clone())).await {
                return ended;
            }
            if shutdown.run_until_cancelled(self.recover(&store)).await.is_none() {
                return Ok(());
            }
        }
    }

    fn begin(&self) -> CancellationToken {
        let life = CancellationToken::new();
        *self.status.lock() = Status::Running(life.clone());
        life
    }

    /// Ends it at once, unless it is down already.
    fn crash(&self, term: u64) -> bool {
        let mut status = self.status.lock();
        let Status::Running(life) = &*status else {
            return false;
        };
        life.cancel();
        *status = Status::Crashed { term, back_at: None };
        true
    }

    /// Stays down until another has taken over, and a while longer.
    async fn recover(&self, store: &EmbeddedStore) {
        timeout(TAKEOVER, self.succeeded(store)).await.ok();
        let at = Instant::now() + BACK_AFTER;
        if let Status::Crashed { back_at, .. } = &mut *self.status.lock() {
            *back_at = Some(at);
        }
        sleep_until(at).await;
    }

    /// Waits for a claim after this replica's own.
    async fn succeeded(&self, store: &EmbeddedStore) {
        loop {
            let observation = store.observe().await.ok();
            let newest = observation.and_then(|seen| seen.record).map(|record| record.term);
            match &*self.status.lock() {
                Status::Crashed { term, .. } if newest <= Some(*term) => {}
                _ => return,
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
