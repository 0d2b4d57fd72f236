use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::time::{Instant, sleep};

use super::failure::PollFailure;
use super::fetch::{Fetched, Fetcher, Validators};
use super::outbox::Outbox;
use super::polling::{PollTime, Polling};
use super::publisher::Publisher;
use super::schedule::{Due, Overdue, Schedule, catch_up, steady_rate};
use super::tracked::{PollMetrics, Tracked};
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
    cluster: ClusterName,
    endpoints: Vec<Arc<EndpointConfig>>,
    names: Vec<EndpointName>,
    metrics: Vec<PollMetrics>,
    history: u64,
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
        Self {
            store,
            fetcher: Arc::new(fetcher),
            cluster,
            names: endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
            metrics: endpoints.iter().map(|endpoint| PollMetrics::new(endpoint, labels)).collect(),
            endpoints: endpoints.iter().cloned().map(Arc::new).collect(),
            history,
        }
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
        left: &HashMap<EndpointName, Resumed>,
    ) -> (Vec<Tracked>, Vec<PollState>) {
        let endpoints = self.endpoints.iter().zip(&self.metrics);
        endpoints
            .map(|(config, metrics)| {
                let state =
                    left.get(&config.name).map(|left| left.state.clone()).unwrap_or_default();
                // An older snapshot may have come back with a rolled-back store: readers may hold
                // a newer one, so it is published again under a version above theirs.
                let known =
                    if state.version.term < base { PollState::default() } else { state.clone() };
                let tracked = Tracked {
                    config: Arc::clone(config),
                    schedule: Schedule::new(&self.cluster, &config.name, config.every),
                    hash: known.hash,
                    validators: Validators { etag: known.etag, last_modified: known.last_modified },
                    in_flight: false,
                    failures: 0,
                    failing: None,
                    metrics: metrics.clone(),
                };
                (tracked, state)
            })
            .unzip()
    }
}

/// When each endpoint is first polled, in ms by the store's clock: overdue ones go first, without
/// a burst.
fn first_polls(
    now: u64,
    endpoints: &[Tracked],
    left: &HashMap<EndpointName, Resumed>,
) -> Vec<(usize, u64)> {
    let (mut on_time, mut overdue) = (Vec::new(), Vec::new());
    for (endpoint, tracked) in endpoints.iter().enumerate() {
        let checked_at = left.get(&tracked.config.name).and_then(|left| left.checked_at);
        let schedule = tracked.schedule;
        match schedule.first_due(now, checked_at) {
            Due::At(due) => on_time.push((endpoint, due)),
            Due::Overdue => overdue.push(Overdue { endpoint, schedule, checked_at }),
        }
    }
    let rate = steady_rate(endpoints.iter().map(|tracked| tracked.config.every));
    on_time.extend(catch_up(now, overdue, rate));
    on_time
}

impl<F: Fetch> Duties for Poller<F> {
    async fn perform(&mut self, leadership: &Leadership) {
        let left = select! {
            biased;
            left = self.resume() => left,
            () = leadership.winding_down() => return,
        };
        let (mut endpoints, states) = self.track(leadership.claim().base, &left);
        let time = PollTime::starting_at(leadership.store_time(Instant::now()));
        let agenda = first_polls(time.now(), &endpoints, &left);
        let outbox = Outbox::default();
        let fetcher = Arc::clone(&self.fetcher);
        let polling =
            Polling::new(leadership, fetcher, &outbox, &mut endpoints, agenda, time).run();
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
