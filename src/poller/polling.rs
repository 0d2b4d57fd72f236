use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metrics::histogram;
use tokio::select;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::duties::{Fetch, first_polls, take_up};
use super::failure::PollFailure;
use super::fetch::Fetched;
use super::journal::{Outcome, Recording};
use super::outbox::{Change, Outbox, Revision};
use super::plan::Planned;
use super::replanning::{Left, Replan};
use super::schedule::Due;
use super::trace::PollTrace;
use super::tracked::Tracked;
use crate::election::Leadership;
use crate::model::EndpointName;
use crate::telemetry::Traces;

/// The most by which two readings of the store's clock differ for want of precision, in ms.
const CLOCK_ERROR: u64 = 1000;

/// Starts polls when they are due and judges what they bring, under one leadership.
pub(super) struct Polling<'a, F> {
    means: Means<'a, F>,
    endpoints: Vec<Tracked>,
    /// When each endpoint is due next, in ms by the store's clock, the earliest on top.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    time: PollTime,
    polls: JoinSet<Poll>,
    /// Which endpoint a task polls.
    running: HashMap<Id, usize>,
}

/// What polling takes from elsewhere, and where it hands on.
pub(super) struct Means<'a, F> {
    pub(super) leadership: &'a Leadership,
    pub(super) fetcher: Arc<F>,
    pub(super) replans: mpsc::Receiver<Replan<F>>,
    pub(super) outbox: &'a Outbox,
    pub(super) journal: Recording,
    pub(super) traces: &'a Traces,
}

/// A poll that has ended.
struct Poll {
    started: Instant,
    ended: Instant,
    result: Result<Fetched, PollFailure>,
    trace: PollTrace,
}

/// The store's time as of the start of a leadership, going on with the monotonic clock: a jump of
/// the store's clock moves stamps, but no poll.
#[derive(Clone, Copy)]
pub(super) struct PollTime {
    start: Instant,
    start_ms: u64,
}

impl PollTime {
    pub(super) fn starting_at(start_ms: u64) -> Self {
        Self { start: Instant::now(), start_ms }
    }

    pub(super) fn now(self) -> u64 {
        self.at(Instant::now())
    }

    fn at(self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.start).as_millis();
        self.start_ms + u64::try_from(since).unwrap_or_default()
    }

    fn instant(self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms.saturating_sub(self.start_ms))
    }
}

impl<'a, F: Fetch> Polling<'a, F> {
    /// Prepares to poll each of `endpoints` first when `agenda` says, and to record that.
    pub(super) fn new(
        means: Means<'a, F>,
        endpoints: Vec<Tracked>,
        agenda: impl IntoIterator<Item = (usize, u64)>,
        time: PollTime,
    ) -> Self {
        let (polls, running) = (JoinSet::new(), HashMap::new());
        let mut polling =
            Self { means, endpoints, agenda: BinaryHeap::new(), time, polls, running };
        for (place, at) in agenda {
            polling.schedule(place, at);
        }
        polling
    }

    /// Notes when an endpoint is due next.
    fn schedule(&mut self, place: usize, at: u64) {
        self.means.journal.due(place, &self.endpoints[place].config.name, at);
        self.agenda.push(Reverse((at, place)));
    }

    /// Polls until the leadership winds down. Polls that have no answer by then are cancelled;
    /// what has been answered goes to the outbox, which is then closed.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.agenda.peek().map(|Reverse((due, _))| self.time.instant(*due));
            select! {
                biased;
                () = self.means.leadership.winding_down() => break,
                Some(poll) = self.polls.join_next_with_id() => self.settle(poll),
                Some(replan) = self.means.replans.recv() => self.replan(replan),
                () = may_start(self.means.leadership, due) => self.start_due(),
            }
        }
        self.polls.abort_all();
        while let Some(poll) = self.polls.join_next_with_id().await {
            self.settle(poll);
        }
        self.means.outbox.close();
    }

    /// Starts every poll that is due, unless the last one of its endpoint is still under way, or
    /// failed and is to be repeated later.
    fn start_due(&mut self) {
        let now = self.time.now();
        while let Some(Reverse((due, endpoint))) = self.agenda.peek().copied() {
            if due > now {
                break;
            }
            self.agenda.pop();
            let tracked = &mut self.endpoints[endpoint];
            if tracked.retired {
                continue;
            }
            let retry_at = tracked.not_before_retry(due);
            if retry_at > due {
                self.agenda.push(Reverse((retry_at, endpoint)));
                continue;
            }
            // Never the same slot again, should the timer have been early.
            let next = tracked.schedule.next_after(now.max(due));
            self.agenda.push(Reverse((next, endpoint)));
            self.means.journal.due(endpoint, &tracked.config.name, next);
            if tracked.in_flight.is_some() {
                tracked.metrics.skipped.increment(1);
                self.means.journal.skipped(&tracked.config.name, due);
                continue;
            }
            self.means.journal.sent();
            let late = Duration::from_millis(now - due);
            histogram!("pollux_schedule_lag_seconds").record(late);
            let (config, validators) = (Arc::clone(&tracked.config), tracked.validators.clone());
            let fetcher = Arc::clone(&self.means.fetcher);
            let trace = PollTrace::begin(
                self.means.traces,
                &config.name,
                self.means.leadership.term(),
                late,
            );
            let task = self.polls.spawn(async move {
                let started = Instant::now();
                let result = trace.scope(fetcher.fetch(&config, &validators)).await;
                Poll { started, ended: Instant::now(), result, trace }
            });
            self.running.insert(task.id(), endpoint);
            tracked.in_flight = Some(task);
        }
    }

    /// Goes on as planned now: endpoints that stay as they are notice nothing.
    fn replan(&mut self, replan: Replan<F>) {
        let Replan { plan, left } = replan;
        let now = self.time.now();
        self.means.fetcher = Arc::clone(&plan.fetcher);
        self.means.outbox.revise(Revision::History(plan.history));
        let mut places: HashMap<EndpointName, usize> = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(_, tracked)| !tracked.retired)
            .map(|(place, tracked)| (tracked.config.name.clone(), place))
            .collect();
        let mut due = HashMap::new();
        for planned in &plan.endpoints {
            let first = match places.remove(&planned.config.name) {
                Some(place) => (place, self.change(place, planned, now)),
                None => (self.endpoints.len(), Some(self.add(planned, &left, now))),
            };
            if let (place, Some(first)) = first {
                due.insert(place, first);
            }
        }
        // In one order, whatever the map's is.
        let mut gone: Vec<usize> = places.into_values().collect();
        gone.sort_unstable();
        gone.into_iter().for_each(|place| self.retire(place));
        self.reschedule(now, due);
    }

    /// Goes on with an endpoint as planned now. `None`: as before, but perhaps at other times.
    fn change(&mut self, place: usize, planned: &Planned, now: u64) -> Option<Due> {
        let tracked = self.endpoints.get_mut(place)?;
        let same_series = Arc::ptr_eq(&planned.metrics, &tracked.metrics);
        if planned.config == tracked.config && same_series {
            return None;
        }
        let schedule = tracked.schedule;
        if tracked.replan(planned, now) {
            let moved = tracked.schedule != schedule;
            return moved.then(|| Due::At(tracked.schedule.next_after(now)));
        }
        self.means.outbox.revise(Revision::Redirected(place, tracked.request.to_string()));
        self.abort(place);
        Some(Due::Overdue { since: None })
    }

    /// Takes up an endpoint, where somebody else may have polled it before.
    fn add(&mut self, planned: &Planned, left: &Left, now: u64) -> Due {
        let base = self.means.leadership.claim().base;
        let (mut tracked, mut state, due) = take_up(planned, left, base, now);
        // It may be told as gone yet, or be on its way to: then the store forgets what it knows. The next
        // good poll is published above that, whatever it brings.
        tracked.forget();
        (state.etag, state.last_modified) = (None, None);
        self.means.outbox.revise(Revision::Added(planned.config.name.clone(), state));
        self.endpoints.push(tracked);
        due
    }

    fn retire(&mut self, place: usize) {
        self.abort(place);
        if let Some(tracked) = self.endpoints.get_mut(place) {
            tracked.retire();
            self.means.outbox.retire(place, tracked.config.name.clone());
            self.means.journal.forget(&tracked.config.name);
        }
    }

    /// Gives up the poll under way: whatever it brings is not waited for.
    fn abort(&mut self, place: usize) {
        let poll = self.endpoints.get_mut(place).and_then(|tracked| tracked.in_flight.take());
        if let Some(poll) = poll {
            self.running.remove(&poll.id());
            poll.abort();
        }
    }

    /// Lets the endpoints in `due` begin anew, and leaves all others where they are.
    fn reschedule(&mut self, now: u64, due: HashMap<usize, Due>) {
        let endpoints = &self.endpoints;
        self.agenda.retain(|Reverse((_, place))| {
            !due.contains_key(place) && endpoints.get(*place).is_some_and(|it| !it.retired)
        });
        let others =
            self.agenda.iter().map(|Reverse((at, place))| (*at, endpoints[*place].schedule));
        let first = first_polls(now, endpoints, due, others.collect());
        for (place, at) in first {
            self.schedule(place, at);
        }
    }

    /// Judges a poll that has ended. One that was cancelled leaves nothing to judge.
    fn settle(&mut self, poll: Result<(Id, Poll), JoinError>) {
        let id = poll.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(endpoint) = self.running.remove(&id) else { return };
        let tracked = &mut self.endpoints[endpoint];
        tracked.in_flight = None;
        let Poll { started, ended, result, trace } = match poll {
            Ok((_, poll)) => poll,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(endpoint = %tracked.config.name, %error, "a poll failed by a defect");
                return;
            }
        };
        tracked.metrics.seconds.record(ended - started);
        let at = self.means.leadership.store_time(ended);
        let outcome = match result {
            Ok(fetched) => {
                if tracked.recovered(&trace) {
                    self.means.outbox.breaker(endpoint, tracked.breaker);
                }
                let slot = tracked.schedule.last_at_or_before(self.time.at(started));
                self.accept(endpoint, fetched, stamp(at, slot), trace)
            }
            Err(failure) => {
                tracked.failed(&failure, self.time.at(ended), &trace);
                trace.failed(&failure);
                let left = match failure.kind.is_unreachable() {
                    true => tracked.breaker.to_be_tried_from_elsewhere(),
                    false => tracked.breaker,
                };
                self.means.outbox.breaker(endpoint, left);
                Outcome::Failed(failure.kind)
            }
        };
        let Tracked { config, breaker, .. } = &self.endpoints[endpoint];
        self.means.journal.polled(&config.name, outcome, at, ended - started, *breaker);
    }

    /// Hands a good answer to the outbox, as a change or as a check at `at`; which of them.
    fn accept(&mut self, endpoint: usize, fetched: Fetched, at: u64, trace: PollTrace) -> Outcome {
        let tracked = &mut self.endpoints[endpoint];
        match fetched {
            Fetched::NotModified => {
                tracked.metrics.not_modified.increment(1);
                self.means.outbox.unchanged(endpoint, at, None);
                trace.checked("not_modified");
                Outcome::NotModified
            }
            Fetched::Body { validators, hash, .. } if hash == tracked.hash => {
                tracked.metrics.unchanged.increment(1);
                let news = (validators != tracked.validators).then(|| validators.clone());
                tracked.validators = validators;
                self.means.outbox.unchanged(endpoint, at, news);
                trace.checked("unchanged");
                Outcome::Unchanged
            }
            Fetched::Body { content_type, body, validators, hash } => {
                tracked.metrics.changed.increment(1);
                tracked.hash.clone_from(&hash);
                tracked.validators = validators.clone();
                let (breaker, fetched_at) = (tracked.breaker, at);
                tracing::debug!(endpoint = %tracked.config.name, trace_id = trace.id(), "changed");
                let trace = trace.changed();
                let change =
                    Change { fetched_at, content_type, body, hash, validators, breaker, trace };
                self.means.outbox.changed(endpoint, change);
                Outcome::Changed
            }
        }
    }
}

/// When a poll ended that answered for `slot`, in ms by the store's clock.
///
/// The clock is known from the last renewal, and is behind by as long as the answer to that took.
/// By a little more than when the slot was reckoned, and the slot would look missed to the next
/// leader. By much more, and the clock was set back.
fn stamp(store_ms: u64, slot: Option<u64>) -> u64 {
    match slot {
        Some(slot) if slot > store_ms && slot - store_ms <= CLOCK_ERROR => slot,
        _ => store_ms,
    }
}

/// Waits until something is due and the lease is surely held.
async fn may_start(leadership: &Leadership, due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
    leadership.confirmed().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poll_never_ends_before_its_slot() {
        assert_eq!(stamp(10_007, Some(10_000)), 10_007);
        assert_eq!(stamp(9_990, Some(10_000)), 10_000);
        assert_eq!(stamp(9_990, None), 9_990);
    }

    #[test]
    fn a_clock_that_was_set_back_is_taken_as_it_is() {
        assert_eq!(stamp(5_000, Some(10_000)), 5_000);
    }
}
