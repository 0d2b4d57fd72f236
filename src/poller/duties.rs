use std::collections::HashMap;
use std::sync::Arc;

use tokio::select;
use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::catch_up::{Overdue, catch_up};
use super::failure::PollFailure;
use super::fetch::{Fetched, Fetcher, Validators};
use super::journal::Journal;
use super::outbox::Outbox;
use super::plan::{Plan, Planned};
use super::polling::{Means, PollTime, Polling};
use super::publisher::Publisher;
use super::replanning::{self, Left};
use super::schedule::{Due, Schedule};
use super::tracked::Tracked;
use crate::config::EndpointConfig;
use crate::election::{Duties, Leadership};
use crate::model::EndpointName;
use crate::store::{PollState, Store};
use crate::telemetry::Traces;

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
    plans: watch::Receiver<Arc<Plan<F>>>,
    journal: Arc<Journal>,
    traces: Traces,
}

impl<F: Fetch> Poller<F> {
    /// Prepares to poll what the newest of `plans` says.
    pub fn new(store: Arc<dyn Store>, plans: watch::Receiver<Arc<Plan<F>>>) -> Self {
        Self { store, plans, journal: Arc::default(), traces: Traces::default() }
    }

    /// Records polls where others look.
    #[must_use]
    pub fn recording(self, journal: Arc<Journal>) -> Self {
        Self { journal, ..self }
    }

    /// Traces polls from now on as `traces` has it.
    #[must_use]
    pub fn tracing(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }
}

impl<F: Fetch> Duties for Poller<F> {
    async fn perform(&mut self, leadership: &Leadership) {
        let mut plans = self.plans.clone();
        let plan = Arc::clone(&plans.borrow_and_update());
        let names = plan.names();
        let left = select! {
            biased;
            left = replanning::resume(&*self.store, &names) => left,
            () = leadership.winding_down() => return,
        };
        let time = PollTime::starting_at(leadership.store_time(Instant::now()));
        let now = time.now();
        // Each step takes milliseconds for thousands of endpoints: renewals go in between.
        yield_now().await;
        let (endpoints, states, due) = take_up_all(&plan, &left, leadership.claim().base, now);
        yield_now().await;
        let agenda = first_polls(now, &endpoints, due, Vec::new());
        let outbox = Outbox::default();
        let (replans, replanned) = mpsc::channel(1);
        let history = plan.history;
        let means = Means {
            leadership,
            fetcher: Arc::clone(&plan.fetcher),
            replans: replanned,
            outbox: &outbox,
            journal: Journal::record(&self.journal),
            traces: &self.traces,
        };
        let polling = Polling::new(means, endpoints, agenda, time).run();
        let publisher = Publisher::new(&*self.store, leadership, &outbox, states, history).run();
        let replanning = replanning::follow(&*self.store, plan, plans, replans);
        let tidying = replanning::take_leave_of_strangers(&*self.store, &self.plans, &outbox);
        let beside = async {
            select! {
                biased;
                () = leadership.winding_down() => {}
                _ = async { tokio::join!(replanning, tidying) } => {}
            }
        };
        tokio::join!(polling, publisher, beside);
    }
}

/// Every endpoint of a plan as the last leader left it, its state in the store, and when it is due.
#[expect(clippy::type_complexity, reason = "three lists that are made in one go")]
fn take_up_all<F>(
    plan: &Plan<F>,
    left: &Left,
    base: u64,
    now: u64,
) -> (Vec<Tracked>, Vec<(EndpointName, PollState)>, HashMap<usize, Due>) {
    let (mut endpoints, mut states, mut due) = (Vec::new(), Vec::new(), HashMap::new());
    for planned in &plan.endpoints {
        let (tracked, state, first) = take_up(planned, left, base, now);
        due.insert(endpoints.len(), first);
        endpoints.push(tracked);
        states.push((planned.config.name.clone(), state));
    }
    (endpoints, states, due)
}

/// An endpoint as the last leader left it, its state in the store, and when it is due.
pub(super) fn take_up(
    planned: &Planned,
    left: &Left,
    base: u64,
    now: u64,
) -> (Tracked, PollState, Due) {
    let left = left.get(&planned.config.name);
    let mut state = left.map(|left| left.state.clone()).unwrap_or_default();
    let tracked = Tracked::resume(planned, &state, base, now);
    if !state.request.is_empty() && *state.request != *planned.request {
        (state.etag, state.last_modified) = (None, None);
    }
    state.request = planned.request.to_string();
    let checked_at = left.and_then(|left| left.checked_at);
    let due = tracked.schedule.first_due(now, checked_at, tracked.breaker.retry_at());
    (tracked, state, due)
}

/// When each endpoint in `due` is polled first, in ms by the store's clock: at its next slot or its
/// retry time, and if a poll was missed before that, as soon as the `others` leave room.
pub(super) fn first_polls(
    now: u64,
    endpoints: &[Tracked],
    due: HashMap<usize, Due>,
    others: Vec<(u64, Schedule)>,
) -> Vec<(usize, u64)> {
    let (mut agenda, mut overdue, mut slots) = (Vec::new(), Vec::new(), others);
    let mut due: Vec<(usize, Due)> = due.into_iter().collect();
    due.sort_unstable_by_key(|(endpoint, _)| *endpoint);
    for (endpoint, due) in due {
        let Some(schedule) = endpoints.get(endpoint).map(|tracked| tracked.schedule) else {
            continue;
        };
        match due {
            Due::At(at) => {
                agenda.push((endpoint, at));
                slots.push((at, schedule));
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
