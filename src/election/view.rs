use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{counter, gauge};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::Record;
use crate::store::{Claim, Observation, StoreError};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// What one replica sees of the election.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The term in which this replica leads; `None` while it stands by.
    pub leading: Option<u64>,
    /// The last claim it has seen.
    pub record: Option<Record>,
    /// Until when, as far as it knows, the lease is held; `None` when it is free.
    pub held_until: Option<Instant>,
    /// Why the store did not answer the last time; `None` once it has.
    pub store_error: Option<StoreError>,
    /// Whether the store has answered since the start.
    pub store_seen: bool,
}

impl View {
    /// Whether some replica holds the lease, as far as this one sees.
    pub fn has_leader(&self) -> bool {
        self.held_until.is_some_and(|until| until > Instant::now())
    }

    /// Sets the gauges that follow from it. Time passes, so they are set again when they are read.
    pub fn export(&self) {
        let remaining =
            self.held_until.map(|until| until.saturating_duration_since(Instant::now()));
        gauge!("pollux_is_leader").set(f64::from(u8::from(self.leading.is_some())));
        gauge!("pollux_has_leader").set(f64::from(u8::from(self.has_leader())));
        gauge!("pollux_lease_remaining_seconds").set(remaining.unwrap_or_default().as_secs_f64());
    }
}

/// Terms are milliseconds since 1970, and scripts see numbers as doubles: beyond this one, in the
/// year 144,683, they would not grow any more.
const HIGHEST_TERM: u64 = 1 << 52;

/// What outlives an elector where its replica goes on with another.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The highest term that any of them has seen; 0 before the first.
    pub seen: Arc<AtomicU64>,
    /// Whether the store has answered since the start.
    pub store_seen: bool,
}

/// Keeps the [`View`], and the highest term that this replica has seen.
pub(super) struct Observer {
    replica: String,
    view: watch::Sender<View>,
    /// The highest term seen; 0 before the first.
    seen: Arc<AtomicU64>,
    /// The last term whose leader the log has told of.
    told: AtomicU64,
}

impl Observer {
    pub(super) fn new(replica: String) -> Self {
        let (seen, told) = (Arc::default(), AtomicU64::new(0));
        Self { replica, view: watch::Sender::default(), seen, told }
    }

    /// The replica that observes.
    pub(super) fn replica(&self) -> &str {
        &self.replica
    }

    /// An event for its log.
    pub(super) fn event(&self, change: LeadershipChange) -> LeadershipEvent<'_> {
        LeadershipEvent::new(change, &self.replica)
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Goes on from what the elector before it had seen.
    pub(super) fn remember(&mut self, memory: Memory) {
        self.seen = memory.seen;
        self.view.send_modify(|view| view.store_seen |= memory.store_seen);
    }

    /// Notes a term, wherever it was seen.
    pub(super) fn saw_term(&self, term: u64) {
        if term > HIGHEST_TERM {
            tracing::warn!(term, "a term that no clock gives was announced: ignored");
            return;
        }
        let known = self.seen.fetch_max(term, Ordering::Relaxed);
        if term <= known {
            return;
        }
        if known > 0 {
            counter!("pollux_leader_changes_total").increment(1);
        }
        gauge!("pollux_term").set(term as f64);
    }

    pub(super) fn observed(&self, observation: &Observation) {
        if let Some(record) = &observation.record {
            if observation.held_for.is_some() {
                self.tell_of_leader(record);
            }
            self.saw_term(record.term);
        }
        self.view.send_modify(|view| {
            view.record.clone_from(&observation.record);
            view.held_until = observation.held_for.map(|held| Instant::now() + held);
            view.store_error = None;
            view.store_seen = true;
        });
        self.export();
    }

    /// Logs that another leads, once for each of its terms, however this replica learnt of it.
    fn tell_of_leader(&self, record: &Record) {
        let told = self.told.fetch_max(record.term, Ordering::Relaxed);
        if record.term <= told {
            return;
        }
        LeadershipEvent {
            leader: &record.replica,
            term: record.term,
            previous_term: told,
            cause: "another_leads",
            ..self.event(LeadershipChange::StandingBy)
        }
        .info("standing by");
    }

    /// Notes that the store did not answer; logs the first of such failures in a row, and those
    /// of another kind than the one before.
    pub(super) fn failed(&self, doing: &str, error: &StoreError) {
        let last = self.view.borrow().store_error.as_ref().map(|last| last.kind);
        if last != Some(error.kind) {
            tracing::warn!(%error, kind = error.kind.as_str(), "cannot {doing}: trying on");
        } else {
            tracing::debug!(%error, kind = error.kind.as_str(), "still cannot {doing}");
        }
        self.view.send_modify(|view| view.store_error = Some(error.clone()));
        self.export();
    }

    pub(super) fn leads(&self, claim: &Claim, record: Record) {
        self.saw_term(claim.term);
        self.told.fetch_max(claim.term, Ordering::Relaxed);
        self.view.send_modify(|view| {
            view.leading = Some(claim.term);
            view.record = Some(record);
            view.store_error = None;
            view.store_seen = true;
        });
        self.export();
    }

    pub(super) fn held_until(&self, until: Instant) {
        self.view.send_modify(|view| {
            view.held_until = Some(until);
            view.store_error = None;
        });
        self.export();
    }

    pub(super) fn stands_by(&self) {
        self.view.send_modify(|view| view.leading = None);
        self.export();
    }

    fn export(&self) {
        self.view.borrow().export();
    }
}
