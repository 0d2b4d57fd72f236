use std::fmt;

use serde::{Deserialize, Serialize};

use super::Observation;

/// What a replica tells of itself every ten seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// The replica's name.
    pub replica: String,
    /// Its admin address.
    pub address: String,
    /// What it does: `poller`, `gateway` or `all`.
    pub role: String,
    /// The version of Pollux.
    pub version: String,
    /// How many of the polled hosts it could connect to in its last round; `None` where it has
    /// finished none, does not poll, or is of a version that does not count them.
    #[serde(default)]
    pub hosts: Option<Hosts>,
    /// When it started, in ms by the store's clock; 0 where that is not known.
    #[serde(default)]
    pub started_at: u64,
    /// Requests for endpoints that it has answered with data, or with that they are current, since then.
    #[serde(default)]
    pub reads: u64,
    /// Snapshots that it has handed to the connections of streams since then.
    #[serde(default)]
    pub deliveries: u64,
    /// Polls that it has sent to backends since then.
    #[serde(default)]
    pub polls: u64,
    /// Whether it refused the configuration in place, and runs on with the one before.
    #[serde(default)]
    pub config_refused: bool,
    /// When it told this, in ms by the store's clock. The store fills it in.
    #[serde(default)]
    pub seen_at: u64,
}

impl Presence {
    /// Whether the replica competes for the lease.
    pub fn polls(&self) -> bool {
        self.role != "gateway"
    }
}

/// How many of the polled hosts a replica can connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hosts {
    /// Those it could connect to.
    pub reachable: u32,
    /// Those it tried: all, or a sample.
    pub checked: u32,
}

impl fmt::Display for Hosts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.reachable, self.checked)
    }
}

/// A change of leadership that took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When, in ms by the store's clock.
    pub at: u64,
    /// `claimed`, `released`, or `reaped`: a standby found the leader dead.
    pub event: String,
    /// The replica that did, or that was found dead.
    pub replica: String,
    /// Its term.
    pub term: u64,
    /// Why: of a claim a [`Cause`](super::Cause), of a release a
    /// [`ReleaseReason`](super::ReleaseReason), which older versions leave empty.
    pub cause: String,
    /// How long nobody had led before, in ms: since a release, since the last pulse of a leader that
    /// crashed, or since the last renewal of a lease that ended. 0 where nobody saw it.
    pub gap: u64,
}

/// What there is to know about a cluster.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The time by the store's clock, in ms.
    pub now: u64,
    /// Who holds the lease.
    pub observation: Observation,
    /// The replicas heard of within 30 seconds, by name.
    pub replicas: Vec<Presence>,
    /// The latest changes of leadership, the newest first.
    pub timeline: Vec<TimelineEntry>,
}
