use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::breaker::Breaker;
use super::catch_up::{Overdue, catch_up};
use super::failure::PollFailure;
use super::fetch::{Fetched, Fetcher, Validators};
use super::journal::Journal;
use super::outbox::Outbox;
use super::polling::{PollTime, Polling};
use super::publisher::Publisher;
use super::schedule::{Due, Schedule};
use super::tracked::{PollMetrics, ShownBreaker, Tracked};
use crate::backoff::Backoff;
use crate::config::EndpointConfig;
use crate::election::{Duties, Leadership};
use crate::model::{ClusterName, EndpointName};
use crate::store::{PollState, Resumed, Store};
use crate::telemetry::EndpointLabels;

/// The longest wait between two tries to read what the last leader left.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Polls one endpoint once; [`Fetcher`] does so over HTTP.
pub trait Fetch: Send + Sync + 'static {
    /// Asks for what differs from what `validators` stand for. Dropping the future cancels it.
    fn fetch(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
    ) -> impl Future<Output = Result<Fetched, PollFailure>> + Send;
}

impl Fetch for Fetcher {
    async fn fetch(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
    ) -> Result<Fetched, PollFailure> {
        Self::fetch(self, endpoint, validators).await
    }
}

/// Polls all endpoints and publishes what changed, whenever its replica leads.
pub struct Poller<F = Fetcher> {
    store: Arc<dyn Store>,
    fetcher: Arc<F>,
    endpoints: Vec<Arc<EndpointConfig>>,
    names: Vec<EndpointName>,
    schedules: Vec<Schedule>,
    metrics: Vec<Arc<PollMetrics>>,
    history: u64,
    journal: Arc<Journal>,
}

impl<F: Fetch> Poller<F> {
    /// Prepares to poll `endpoints`; `history` is how many publications the store keeps.
    pub fn new(
        store: Arc<dyn Store>,
        fetcher: F,
        cluster: ClusterName,
        endpoints: &[EndpointConfig],
        history: u64,
    ) -> Self {
        let labels = EndpointLabels::for_count(endpoints.len());
        let schedule =
            |endpoint: &EndpointConfig| Schedule::new(&cluster, &endpoint.name, endpoint.every);
        let metrics = |endpoint| Arc::new(PollMetrics::new(endpoint, labels));
        Self {
            store,
            fetcher: Arc::new(fetcher),
            names: endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            schedules: endpoints.iter().map(schedule).collect(),
            metrics: endpoints.iter().map(metrics).collect(),
            endpoints: endpoints.iter().cloned().map(Arc::new).collect(),
            history,
            journal: Arc::default(),
        }
    }

    /// Records polls where others look.
    #[must_use]
    pub fn recording(self, journal: Arc<Journal>) -> Self {
        Self { journal, ..self }
    }

    /// Reads what the last leader left, until the store answers.
    async fn resume(&self) -> HashMap<EndpointName, Resumed> {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        loop {
            match self.store.resume(&self.names).await {
                Ok(left) => {
                    return left.into_iter().map(|left| (left.endpoint.clone(), left)).collect();
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot read what the last leader left: trying on");
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Every endpoint as the last leader left it, and its state in the store.
    fn track(
        &self,
        base: u64,
        now: u64,
        left: &HashMap<EndpointName, Resumed>,
    ) -> (Vec<Tracked>, Vec<PollState>) {
        let endpoints = self.endpoints.iter().zip(&self.schedules).zip(&self.metrics);
        endpoints
            .map(|((config, &schedule), metrics)| {
                let state =
                    left.get(&config.name).map(|left| left.state.clone()).unwrap_or_default();
                let breaker = Breaker::resume(state.failures, state.retry_at, schedule, now);
                // An older snapshot may have come back with a rolled-back store: readers may hold
                // a newer one, so it is published again under a version above theirs.
                let known =
                    if state.version.term < base { PollState::default() } else { state.clone() };
                let tracked = Tracked {
                    config: Arc::clone(config),
                    schedule,
                    hash: known.hash,
                    validators: Validators { etag: known.etag, last_modified: known.last_modified },
                    in_flight: false,
                    breaker,
                    shown: ShownBreaker::new(metrics.breaker_open.clone(), breaker.is_open()),
                    failing: None,
                    metrics: Arc::clone(metrics),
                };
                (tracked, state)
            })
            .unzip()
    }
}

/// When each endpoint is first polled, in ms by the store's clock: at its next slot or its retry
/// time, and if a poll was missed before that, as soon as the others leave room.
fn first_polls(
    now: u64,
    endpoints: &[Tracked],
    left: &HashMap<EndpointName, Resumed>,
) -> Vec<(usize, u64)> {
    let (mut agenda, mut overdue, mut slots) = (Vec::new(), Vec::new(), Vec::new());
    for (endpoint, tracked) in endpoints.iter().enumerate() {
        let checked_at = left.get(&tracked.config.name).and_then(|left| left.checked_at);
        let schedule = tracked.schedule;
        match schedule.first_due(now, checked_at, tracked.breaker.retry_at()) {
            Due::At(due) => {
                agenda.push((endpoint, due));
                slots.push((due, schedule));
            }
            Due::Overdue { since } => {
                overdue.push(Overdue { endpoint, schedule, since });
                slots.push((schedule.next_after(now), schedule));
            }
        }
    }
    agenda.extend(catch_up(now, overdue, &slots));
    agenda
}

impl<F: Fetch> Duties for Poller<F> {
    async fn perform(&mut self, leadership: &Leadership) {
        let left = select! {
            biased;
            left = self.resume() => left,
            () = leadership.winding_down() => return,
        };
        let time = PollTime::starting_at(leadership.store_time(Instant::now()));
        let now = time.now();
        // Each step takes milliseconds for thousands of endpoints: renewals go in between.
        yield_now().await;
        let (mut endpoints, states) = self.track(leadership.claim().base, now, &left);
        yield_now().await;
        let agenda = first_polls(now, &endpoints, &left);
        let outbox = Outbox::default();
        let fetcher = Arc::clone(&self.fetcher);
        let journal = Journal::record(&self.journal);
        let polling =
            Polling::new(leadership, fetcher, &outbox, &mut endpoints, agenda, time, journal).run();
        let publisher = Publisher::new(
            &*self.store,
            leadership,
            &self.endpoints,
            &outbox,
            states,
            self.history,
        );
        tokio::join!(polling, publisher.run());
    }
}
