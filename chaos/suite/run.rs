//! What a run is about: its facts, by which its history is judged.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Why a run says nothing: a fault that did not land, a cluster that was ill before, a tool that is
/// missing. Never a verdict about Pollux.
#[derive(Clone, Debug)]
pub(crate) struct Unknown(pub(crate) String);

/// What came of something that may have no verdict.
pub(crate) type Outcome<T> = Result<T, Unknown>;

impl fmt::Display for Unknown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Unknown {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The timings of the lease, in the proportions of the default settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Timing {
    /// T: the lease duration, in ms.
    pub lease_ms: u64,
    /// D: the renew deadline, in ms.
    pub deadline_ms: u64,
    /// R: the retry period, in ms.
    pub retry_ms: u64,
}

impl Timing {
    /// With a lease of this duration.
    pub(crate) fn of(lease: Duration) -> Self {
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        Self { lease_ms, deadline_ms: lease_ms * 2 / 3, retry_ms: lease_ms / 6 }
    }

    /// For how long a replica may act after it sent its last good renewal, in ms. The renew deadline counts
    /// from the first renewal that went unanswered, a retry period later, and ends half the way from there
    /// to the lease's end at the latest.
    pub(crate) fn acts_for_ms(&self) -> u64 {
        (self.deadline_ms + self.retry_ms).min((self.deadline_ms + self.lease_ms) / 2)
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease_ms)
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub(crate) fn retry(&self) -> Duration {
        Duration::from_millis(self.retry_ms)
    }
}

/// An endpoint of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    pub name: String,
    pub every_ms: u64,
    pub stale_after_ms: u64,
}

/// What is promised of every run, by its number in the table of invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Invariant {
    TermsAreUnique = 1,
    WritersAreOrdered,
    NobodyActsWithoutALease,
    ReadsAreMonotonic,
    NothingCurrentIsLost,
    StalenessIsSaid,
    TakeoverInTime,
    NoFlapping,
    Recovery,
    Integrity,
    ReleaseIsFinal,
    Isolation,
    HonestTelemetry,
    OnePoller,
}

impl Invariant {
    pub(crate) const ALL: [Self; 14] = [
        Self::TermsAreUnique,
        Self::WritersAreOrdered,
        Self::NobodyActsWithoutALease,
        Self::ReadsAreMonotonic,
        Self::NothingCurrentIsLost,
        Self::StalenessIsSaid,
        Self::TakeoverInTime,
        Self::NoFlapping,
        Self::Recovery,
        Self::Integrity,
        Self::ReleaseIsFinal,
        Self::Isolation,
        Self::HonestTelemetry,
        Self::OnePoller,
    ];
}

/// What a fault may cost at most, and from when to when that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bound {
    /// From each fault to the first poll by another replica: so many ms at most.
    Takeover(u64),
    /// From each release to the next claim by another replica: so many ms at most.
    HandOver(u64),
    /// From each heal to the moment when one leads and every reader is level: so many ms at most.
    Level(u64),
    /// Nothing is counted, for the reason given in the fault's file.
    None,
}

/// The facts of a run. In its directory as `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The fault's number and name, or those of a pair, such as `1 leader-killed`.
    pub fault: String,
    pub title: String,
    pub seed: u64,
    /// What repeats the run.
    pub command: String,
    pub timing: Timing,
    pub endpoints: Vec<Endpoint>,
    /// The replicas that poll.
    pub pollers: Vec<String>,
    pub gateways: Vec<String>,
    pub bound: Bound,
    /// How many claims there may be after the first fault.
    pub changes: usize,
    /// Which claims there may be beside: by a leader that stays, on a server that was restarted.
    pub reclaims: usize,
    /// Invariants that cannot hold under this fault, or that it takes the means from to judge.
    pub spared: Vec<Invariant>,
    /// When everything was up, in µs: what was before is not judged for time.
    pub ready_at: u64,
    /// When nothing changed any more and everybody had been given the time to be level, in µs; `None`:
    /// that never came.
    pub quiet_at: Option<u64>,
}
