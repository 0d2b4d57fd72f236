use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use metrics::histogram;
use tokio::select;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::duties::Fetch;
use super::failure::PollFailure;
use super::fetch::Fetched;
use super::journal::{Outcome, Recording};
use super::outbox::{Change, Outbox};
use super::tracked::Tracked;
use crate::election::Leadership;

/// The most by which two readings of the store's clock differ for want of precision, in ms.
const CLOCK_ERROR: u64 = 1000;

/// Starts polls when they are due and judges what they bring, under one leadership.
pub(super) struct Polling<'a, F> {
    leadership: &'a Leadership,
    fetcher: Arc<F>,
    outbox: &'a Outbox,
    endpoints: &'a mut [Tracked],
    /// When each endpoint is due next, in ms by the store's clock, the earliest on top.
    agenda: BinaryHeap<Reverse<(u64, usize)>>,
    time: PollTime,
    polls: JoinSet<Poll>,
    /// Which endpoint a task polls.
    running: HashMap<Id, usize>,
    journal: Recording,
}

/// A poll that has ended.
struct Poll {
    started: Instant,
    ended: Instant,
    result: Result<Fetched, PollFailure>,
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
        leadership: &'a Leadership,
        fetcher: Arc<F>,
        outbox: &'a Outbox,
        endpoints: &'a mut [Tracked],
        agenda: impl IntoIterator<Item = (usize, u64)>,
        time: PollTime,
        journal: Recording,
    ) -> Self {
        let note = |(endpoint, due): (usize, u64)| {
            journal.due(endpoint, &endpoints[endpoint].config.name, due);
            Reverse((due, endpoint))
        };
        let agenda = agenda.into_iter().map(note).collect();
        let (polls, running) = (JoinSet::new(), HashMap::new());
        Self { leadership, fetcher, outbox, endpoints, agenda, time, polls, running, journal }
    }

    /// Polls until the leadership winds down. Polls that have no answer by then are cancelled;
    /// what has been answered goes to the outbox, which is then closed.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.agenda.peek().map(|Reverse((due, _))| self.time.instant(*due));
            select! {
                biased;
                () = self.leadership.winding_down() => break,
                Some(poll) = self.polls.join_next_with_id() => self.settle(poll),
                () = may_start(self.leadership, due) => self.start_due(),
            }
        }
        self.polls.abort_all();
        while let Some(poll) = self.polls.join_next_with_id().await {
            self.settle(poll);
        }
        self.outbox.close();
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
            let retry_at = tracked.not_before_retry(due);
            if retry_at > due {
                self.agenda.push(Reverse((retry_at, endpoint)));
                continue;
            }
            // Never the same slot again, should the timer have been early.
            let next = tracked.schedule.next_after(now.max(due));
            self.agenda.push(Reverse((next, endpoint)));
            self.journal.due(endpoint, &tracked.config.name, next);
            if tracked.in_flight {
                tracked.metrics.skipped.increment(1);
                self.journal.skipped(&tracked.config.name, due);
                continue;
            }
            tracked.in_flight = true;
            self.journal.sent();
            let late = Duration::from_millis(now - due);
            histogram!("pollux_schedule_lag_seconds").record(late);
            let (config, validators) = (Arc::clone(&tracked.config), tracked.validators.clone());
            let fetcher = Arc::clone(&self.fetcher);
            let task = self.polls.spawn(async move {
                let started = Instant::now();
                let result = fetcher.fetch(&config, &validators).await;
                Poll { started, ended: Instant::now(), result }
            });
            self.running.insert(task.id(), endpoint);
        }
    }

    /// Judges a poll that has ended. One that was cancelled leaves nothing to judge.
    fn settle(&mut self, poll: Result<(Id, Poll), JoinError>) {
        let id = poll.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(endpoint) = self.running.remove(&id) else { return };
        let tracked = &mut self.endpoints[endpoint];
        tracked.in_flight = false;
        let Poll { started, ended, result } = match poll {
            Ok((_, poll)) => poll,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                tracing::error!(endpoint = %tracked.config.name, %error, "a poll failed by a defect");
                return;
            }
        };
        tracked.metrics.seconds.record(ended - started);
        let at = self.leadership.store_time(ended);
        let outcome = match result {
            Ok(fetched) => {
                if tracked.recovered() {
                    self.outbox.breaker(endpoint, tracked.breaker);
                }
                let slot = tracked.schedule.last_at_or_before(self.time.at(started));
                self.accept(endpoint, fetched, stamp(at, slot))
            }
            Err(failure) => {
                tracked.failed(&failure, self.time.at(ended));
                let left = match failure.kind.is_unreachable() {
                    true => tracked.breaker.to_be_tried_from_elsewhere(),
                    false => tracked.breaker,
                };
                self.outbox.breaker(endpoint, left);
                Outcome::Failed(failure.kind)
            }
        };
        let Tracked { config, breaker, .. } = &self.endpoints[endpoint];
        self.journal.polled(&config.name, outcome, at, ended - started, *breaker);
    }

    /// Hands a good answer to the outbox, as a change or as a check at `at`; which of them.
    fn accept(&mut self, endpoint: usize, fetched: Fetched, at: u64) -> Outcome {
        let tracked = &mut self.endpoints[endpoint];
        match fetched {
            Fetched::NotModified => {
                tracked.metrics.not_modified.increment(1);
                self.outbox.unchanged(endpoint, at, None);
                Outcome::NotModified
            }
            Fetched::Body { validators, hash, .. } if hash == tracked.hash => {
                tracked.metrics.unchanged.increment(1);
                let news = (validators != tracked.validators).then(|| validators.clone());
                tracked.validators = validators;
                self.outbox.unchanged(endpoint, at, news);
                Outcome::Unchanged
            }
            Fetched::Body { content_type, body, validators, hash } => {
                tracked.metrics.changed.increment(1);
                tracked.hash.clone_from(&hash);
                tracked.validators = validators.clone();
                let breaker = tracked.breaker;
                let change =
                    Change { fetched_at: at, content_type, body, hash, validators, breaker };
                self.outbox.changed(endpoint, change);
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
