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
use super::outbox::{Change, Outbox};
use super::tracked::Tracked;
use crate::election::Leadership;

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
        self.start_ms + u64::try_from(self.start.elapsed().as_millis()).unwrap_or_default()
    }

    fn instant(self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms.saturating_sub(self.start_ms))
    }
}

impl<'a, F: Fetch> Polling<'a, F> {
    /// Prepares to poll each of `endpoints` first when `agenda` says.
    pub(super) fn new(
        leadership: &'a Leadership,
        fetcher: Arc<F>,
        outbox: &'a Outbox,
        endpoints: &'a mut [Tracked],
        agenda: impl IntoIterator<Item = (usize, u64)>,
        time: PollTime,
    ) -> Self {
        let agenda = agenda.into_iter().map(|(endpoint, due)| Reverse((due, endpoint))).collect();
        let (polls, running) = (JoinSet::new(), HashMap::new());
        Self { leadership, fetcher, outbox, endpoints, agenda, time, polls, running }
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

    /// Starts every poll that is due, unless the last one of its endpoint is still under way.
    fn start_due(&mut self) {
        let now = self.time.now();
        while let Some(Reverse((due, endpoint))) = self.agenda.peek().copied() {
            if due > now {
                break;
            }
            self.agenda.pop();
            let tracked = &mut self.endpoints[endpoint];
            // Never the same slot again, should the timer have been early.
            self.agenda.push(Reverse((tracked.schedule.next_after(now.max(due)), endpoint)));
            if tracked.in_flight {
                tracked.metrics.skipped.increment(1);
                continue;
            }
            tracked.in_flight = true;
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
        match result {
            Ok(fetched) => {
                tracked.recovered();
                self.accept(endpoint, fetched, self.leadership.store_time(ended));
            }
            Err(failure) => tracked.failed(&failure),
        }
    }

    /// Hands a good answer to the outbox, as a change or as a check at `at`.
    fn accept(&mut self, endpoint: usize, fetched: Fetched, at: u64) {
        let tracked = &mut self.endpoints[endpoint];
        match fetched {
            Fetched::NotModified => {
                tracked.metrics.not_modified.increment(1);
                self.outbox.unchanged(endpoint, at, None);
            }
            Fetched::Body { validators, hash, .. } if hash == tracked.hash => {
                tracked.metrics.unchanged.increment(1);
                let news = (validators != tracked.validators).then(|| validators.clone());
                tracked.validators = validators;
                self.outbox.unchanged(endpoint, at, news);
            }
            Fetched::Body { content_type, body, validators, hash } => {
                tracked.metrics.changed.increment(1);
                tracked.hash.clone_from(&hash);
                tracked.validators = validators.clone();
                let change = Change { fetched_at: at, content_type, body, hash, validators };
                self.outbox.changed(endpoint, change);
            }
        }
    }
}

impl Tracked {
    /// Logs the end of a row of failures.
    fn recovered(&mut self) {
        if self.failures > 0 {
            tracing::info!(endpoint = %self.config.name, failures = self.failures, "polled again");
        }
        self.failures = 0;
        self.failing = None;
    }

    /// Counts a failure and logs it, the first of its kind in a row where everybody sees it.
    fn failed(&mut self, failure: &PollFailure) {
        self.metrics.failure(failure.kind);
        self.failures = self.failures.saturating_add(1);
        let (endpoint, kind) = (&self.config.name, failure.kind.as_str());
        if self.failing.replace(failure.kind) != Some(failure.kind) {
            tracing::warn!(%endpoint, kind, "poll failed, keeping the last good snapshot: {failure}");
        } else {
            tracing::debug!(%endpoint, kind, failures = self.failures, "poll failed: {failure}");
        }
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
