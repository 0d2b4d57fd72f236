//! What became of the latest polls, for those who look at the cluster.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use super::failure::PollFailureKind;
use crate::model::EndpointName;

/// How many polls of an endpoint are kept.
const KEPT: usize = 30;
/// Of how many endpoints single polls are told: with all of thousands, one look would cost tens of
/// megabytes, and nobody can look at so many.
const TOLD: usize = 300;

/// The latest polls of each endpoint under the present leadership, in memory, at about half a
/// kilobyte each; and the number of all polls since the start.
#[derive(Debug, Default)]
pub struct Journal {
    logs: Mutex<HashMap<EndpointName, Log>>,
    polls: AtomicU64,
}

/// How an endpoint is doing, as its leader knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolledEndpoint {
    /// The endpoint.
    pub name: EndpointName,
    /// When it is polled next, in ms by the store's clock.
    pub next_due: u64,
    /// Failed polls in a row.
    pub failures: u32,
    /// While its breaker is open: before when it is not polled, in ms by the store's clock.
    pub retry_at: Option<u64>,
    /// Its latest polls, the oldest first. Of more than 300 endpoints, those that fail and the first
    /// in the configuration have them, and the others none.
    pub polls: Vec<PollReport>,
}

/// What became of one poll.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PollReport {
    /// When it ended, in ms by the store's clock; one that was skipped, when it was due.
    pub at: u64,
    /// `changed`, `unchanged`, `not_modified`, `failed`, or `skipped`: the one before was still under
    /// way.
    pub outcome: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The kind of failure; null where it did not fail.
    pub kind: Option<String>,
}

/// What became of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Changed,
    Unchanged,
    NotModified,
    Failed(PollFailureKind),
    Skipped,
}

/// What is kept of one endpoint.
#[derive(Debug, Default)]
struct Log {
    /// Its place in the configuration.
    place: usize,
    next_due: u64,
    breaker: Breaker,
    entries: VecDeque<Entry>,
}

/// One poll, in 12 bytes.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The time in ms: its lower 32 bits, and the 16 above them, which last for 8,000 years.
    at_low: u32,
    at_high: u16,
    outcome: Outcome,
    seconds: f32,
}

impl Journal {
    /// How many polls were sent since the start, whatever became of them.
    pub fn count(&self) -> u64 {
        self.polls.load(Relaxed)
    }

    /// What the present leadership knows of its endpoints, in the order of their configuration;
    /// nothing without one.
    pub fn endpoints(&self) -> Vec<PolledEndpoint> {
        let logs = self.logs.lock();
        let mut order: Vec<_> = logs.iter().collect();
        order.sort_unstable_by_key(|(_, log)| (Reverse(log.breaker.failures()), log.place));
        let told = |(number, (name, log)): (usize, &(&EndpointName, &Log))| {
            (log.place, log.report(name, number < TOLD))
        };
        let mut endpoints: Vec<_> = order.iter().enumerate().map(told).collect();
        drop(logs);
        endpoints.sort_by_key(|(place, _)| *place);
        endpoints.into_iter().map(|(_, endpoint)| endpoint).collect()
    }

    /// Begins to record one leadership.
    pub(super) fn record(journal: &Arc<Self>) -> Recording {
        Recording(Arc::clone(journal))
    }
}

/// Records polls until it is dropped, with the leadership that they were made in.
#[derive(Debug)]
pub(super) struct Recording(Arc<Journal>);

impl Recording {
    /// Notes when the endpoint at a place in the configuration is due next.
    pub(super) fn due(&self, place: usize, endpoint: &EndpointName, at: u64) {
        self.change(endpoint, |log| {
            log.place = place;
            log.next_due = at;
        });
    }

    /// Counts a poll that is sent.
    pub(super) fn sent(&self) {
        self.0.polls.fetch_add(1, Relaxed);
    }

    /// Notes a poll that was due at `at`, in ms by the store's clock, while another was under way.
    pub(super) fn skipped(&self, endpoint: &EndpointName, at: u64) {
        self.change(endpoint, |log| log.add(Outcome::Skipped, at, Duration::ZERO));
    }

    /// Notes what became of a poll that ended at `at`, in ms by the store's clock, and how that
    /// leaves the breaker.
    pub(super) fn polled(
        &self,
        endpoint: &EndpointName,
        outcome: Outcome,
        at: u64,
        took: Duration,
        breaker: Breaker,
    ) {
        self.change(endpoint, |log| {
            log.breaker = breaker;
            log.add(outcome, at, took);
        });
    }

    fn change(&self, endpoint: &EndpointName, change: impl FnOnce(&mut Log)) {
        let mut logs = self.0.logs.lock();
        match logs.get_mut(endpoint) {
            Some(log) => change(log),
            None => change(logs.entry(endpoint.clone()).or_default()),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Also gives the memory back.
        *self.0.logs.lock() = HashMap::new();
    }
}

impl Log {
    fn add(&mut self, outcome: Outcome, at: u64, took: Duration) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        let (at_low, at_high) = (at as u32, (at >> 32) as u16);
        self.entries.push_back(Entry { at_low, at_high, outcome, seconds: took.as_secs_f32() });
    }

    fn report(&self, name: &EndpointName, with_polls: bool) -> PolledEndpoint {
        let retry_at = self.breaker.retry_at();
        let entries = self.entries.iter().filter(|_| with_polls);
        PolledEndpoint {
            name: name.clone(),
            next_due: self.next_due.max(retry_at.unwrap_or_default()),
            failures: self.breaker.failures(),
            retry_at: retry_at.filter(|_| self.breaker.is_open()),
            polls: entries.map(|entry| entry.report()).collect(),
        }
    }
}

impl Entry {
    fn report(self) -> PollReport {
        let kind = match self.outcome {
            Outcome::Failed(kind) => Some(kind.as_str().to_owned()),
            _ => None,
        };
        PollReport {
            at: u64::from(self.at_high) << 32 | u64::from(self.at_low),
            outcome: self.outcome.as_str().to_owned(),
            // To the tenth of a millisecond.
            seconds: (f64::from(self.seconds) * 1e4).round() / 1e4,
            kind,
        }
    }
}

impl Outcome {
    /// The name in metrics.
    fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::NotModified => "not_modified",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).unwrap()
    }

    #[test]
    fn the_latest_polls_are_kept_and_no_more() {
        let journal = Arc::new(Journal::default());
        let recording = Journal::record(&journal);
        let start = 1_795_209_600_123;
        for n in 0..100 {
            let took = Duration::from_micros(1500);
            recording.polled(&name("a"), Outcome::Changed, start + n, took, Breaker::default());
        }
        let [endpoint] = &journal.endpoints()[..] else { panic!("one endpoint") };
        let times: Vec<u64> = endpoint.polls.iter().map(|poll| poll.at).collect();
        assert_eq!(times, (start + 70..start + 100).collect::<Vec<_>>());
        assert_eq!((endpoint.polls[0].seconds, &*endpoint.polls[0].outcome), (0.0015, "changed"));
    }

    #[test]
    fn a_failure_tells_its_kind_and_a_leadership_leaves_nothing_behind() {
        let journal = Arc::new(Journal::default());
        let recording = Journal::record(&journal);
        let failed = Outcome::Failed(PollFailureKind::TooLarge);
        recording.sent();
        recording.polled(&name("a"), failed, 7, Duration::ZERO, Breaker::default());
        recording.skipped(&name("a"), 9);
        let polls = journal.endpoints().remove(0).polls;
        assert_eq!(polls[0].kind.as_deref(), Some("too_large"));
        assert_eq!((&*polls[1].outcome, polls[1].at, &polls[1].kind), ("skipped", 9, &None));
        drop(recording);
        assert_eq!((journal.endpoints().len(), journal.count()), (0, 1));
    }

    #[test]
    fn thousands_of_endpoints_are_told_in_order_and_few_of_them_with_polls() {
        let journal = Arc::new(Journal::default());
        let recording = Journal::record(&journal);
        for place in 0..10_000 {
            let endpoint = name(&format!("e{place}"));
            recording.due(place, &endpoint, 1);
            recording.skipped(&endpoint, 1);
        }
        let endpoints = journal.endpoints();
        assert_eq!(endpoints[9_999].name, name("e9999"));
        assert_eq!(endpoints.iter().filter(|endpoint| !endpoint.polls.is_empty()).count(), TOLD);
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 12, "{}", size_of::<Entry>());
    }
}
