use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::process::Control;
use crate::election::Leadership;
use crate::election::tests::faulty::Witness;
use crate::model::{Record, Version};
use crate::store::{Batch, Observation, Pulse};

/// For how long a leader must not have shown that it lives before it may be reaped: the least time
/// between the two questions of a standby.
const SILENT: Duration = Duration::from_millis(50);

/// What really happens, in the order in which it does, and whether it may.
pub(super) struct Ground {
    start: Instant,
    /// Whether the store keeps every lease for as long as it said: only then can nobody act beside
    /// the leader.
    leases_kept: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Who performs the duties of a leader.
    performing: BTreeMap<usize, Performing>,
    /// The terms that were led, with the server that gave them.
    terms: HashSet<(String, u64)>,
    highest_term: u64,
    /// The last version that took effect, by server.
    published: HashMap<String, Version>,
    /// When the holder of a liveness channel last showed that it lives.
    lives: HashMap<Uuid, Instant>,
    trace: Vec<(Duration, Seen)>,
    counts: Counts,
    violations: Vec<String>,
}

struct Performing {
    term: u64,
    control: Arc<Control>,
    /// Whether it may act, and whether the store has refuted it.
    standing: Box<dyn Fn() -> (bool, bool) + Send>,
}

impl Performing {
    fn acts(&self) -> bool {
        self.control.is_awake() && (self.standing)().0
    }
}

/// What happened, for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Leads { replica: usize, term: u64 },
    Ends { replica: usize },
    Crashed,
    Reaped { term: u64 },
    Published(Version),
}

/// How often it happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) leaderships: u64,
    pub(super) polls: u64,
    pub(super) publications: u64,
    /// Snapshots that reached a reader.
    pub(super) deliveries: u64,
    pub(super) crashes: u64,
    /// Leases of crashed leaders that a standby took away.
    pub(super) reaps: u64,
    /// Servers that took another's place.
    pub(super) servers: u64,
    /// Requests to step down.
    pub(super) step_downs: u64,
    /// Replicas that left on purpose.
    pub(super) leavings: u64,
    /// Hosts that got another configuration than others.
    pub(super) reconfigurations: u64,
    /// Endpoints that were told to be gone.
    pub(super) departures: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.leaderships += other.leaderships;
        self.polls += other.polls;
        self.publications += other.publications;
        self.deliveries += other.deliveries;
        self.crashes += other.crashes;
        self.reaps += other.reaps;
        self.servers += other.servers;
        self.step_downs += other.step_downs;
        self.leavings += other.leavings;
        self.reconfigurations += other.reconfigurations;
        self.departures += other.departures;
    }
}

impl Ground {
    pub(super) fn new(leases_kept: bool) -> Self {
        Self { start: Instant::now(), leases_kept, known: Mutex::default() }
    }

    /// Notes that a replica begins to lead; until the return is dropped, it does.
    pub(super) fn leads(
        self: &Arc<Self>,
        replica: usize,
        control: &Arc<Control>,
        leadership: &Leadership,
    ) -> impl Drop + use<> {
        let term = leadership.term();
        let performing = Performing {
            term,
            control: Arc::clone(control),
            standing: Box::new(leadership.standing()),
        };
        let mut known = self.known.lock();
        known.counts.leaderships += 1;
        if !known.terms.insert((leadership.claim().run_id.clone(), term)) {
            known.violated(format!("term {term} is led a second time"));
        }
        // Where a lease was taken away, an older claim may be answered after a newer one.
        if self.leases_kept && term < known.highest_term {
            known.violated(format!("term {term} begins after a higher one"));
        }
        known.highest_term = known.highest_term.max(term);
        if let Some(before) = known.performing.insert(replica, performing) {
            known.violated(format!("replica {replica} leads {term} and still {}", before.term));
        }
        drop(known);
        self.see(Seen::Leads { replica, term });
        self.one_acts();
        Leads { ground: Arc::clone(self), replica }
    }

    /// Notes that a replica starts a poll.
    pub(super) fn polls(&self, replica: usize) {
        let mut known = self.known.lock();
        known.counts.polls += 1;
        // A poll that was started is not under way yet when a publication is refused at once.
        let allowed = |(may_act, refuted)| may_act || refuted;
        let standing = known.performing.get(&replica).map(|performing| (performing.standing)());
        if !standing.is_some_and(allowed) {
            known.violated(format!("replica {replica} polls though it may not act"));
        }
        drop(known);
        self.one_acts();
    }

    fn one_acts(&self) {
        let acting = self.acting();
        if self.leases_kept && acting.len() > 1 {
            self.violated(format!("replicas {acting:?} act at once"));
        }
    }

    /// Who acts as a leader now.
    pub(super) fn acting(&self) -> Vec<usize> {
        let known = self.known.lock();
        let acts =
            |(replica, performing): (&usize, &Performing)| performing.acts().then_some(*replica);
        known.performing.iter().filter_map(acts).collect()
    }

    /// The highest term that was led.
    pub(super) fn term(&self) -> u64 {
        self.known.lock().highest_term
    }

    /// Whether `term` is above every other that was led, and was led once.
    pub(super) fn is_beyond_all(&self, term: u64) -> bool {
        self.known.lock().terms.iter().filter(|(_, led)| *led >= term).count() == 1
    }

    pub(super) fn counts(&self) -> Counts {
        self.known.lock().counts
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.known.lock().counts);
    }

    /// Notes something for the comparison of two lives.
    pub(super) fn see(&self, seen: Seen) {
        tracing::debug!(?seen);
        self.known.lock().trace.push((self.start.elapsed(), seen));
    }

    /// Notes something that must not be.
    pub(super) fn violated(&self, what: String) {
        self.known.lock().violated(what);
    }

    /// Panics if something was that must not be.
    pub(super) fn judge(&self) {
        let violations = std::mem::take(&mut self.known.lock().violations);
        assert!(violations.is_empty(), "{violations:#?}");
    }

    pub(super) fn trace(&self) -> Vec<(Duration, Seen)> {
        self.known.lock().trace.clone()
    }
}

impl Known {
    fn violated(&mut self, what: String) {
        tracing::error!("{what}");
        self.violations.push(what);
    }
}

/// A leadership that goes on.
struct Leads {
    ground: Arc<Ground>,
    replica: usize,
}

impl Drop for Leads {
    fn drop(&mut self) {
        let replica = self.replica;
        self.ground.known.lock().performing.remove(&replica);
        self.ground.see(Seen::Ends { replica });
    }
}

impl Witness for Ground {
    fn accepted(&self, run_id: &str, batch: &Batch) {
        let published = batch.items.iter().map(|item| item.publication.version);
        let versions = published.chain(batch.gone.iter().map(|gone| gone.version));
        self.count(|counts| counts.departures += batch.gone.len() as u64);
        for version in versions {
            let mut known = self.known.lock();
            known.counts.publications += 1;
            let before = known.published.insert(run_id.to_owned(), version);
            if before.is_some_and(|before| before >= version) {
                known.violated(format!("{version} took effect after {before:?}"));
            }
            drop(known);
            self.see(Seen::Published(version));
        }
    }

    fn reaped(&self, suspect: &Record, observed: &Observation) {
        let term = suspect.term;
        self.count(|counts| counts.reaps += 1);
        self.see(Seen::Reaped { term });
        if observed.record.as_ref() != Some(suspect) || observed.pulse != Pulse::None {
            self.violated(format!("{suspect:?} was reaped from {observed:?}"));
        }
        let mut known = self.known.lock();
        let shown = suspect.alive.parse().ok().and_then(|alive: Uuid| known.lives.get(&alive));
        let silent = shown.map(Instant::elapsed);
        let mut leaders = known.performing.values();
        let lives = leaders.any(|leader| leader.term == term && leader.control.is_awake());
        if lives && silent.is_none_or(|silent| silent < SILENT) {
            known.violated(format!("term {term} was reaped, which showed its life {silent:?} ago"));
        }
    }

    fn lives(&self, alive: Uuid) {
        self.known.lock().lives.insert(alive, Instant::now());
    }
}
