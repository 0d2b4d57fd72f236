use serde::{Deserialize, Serialize};

use super::Version;

/// The leader record: the last claim on this store and how far it got.
///
/// It never expires, so it tells who led last even when nobody leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The fencing token of the last claim.
    pub term: u64,
    /// The value of the lease it was claimed with, in hex; empty once released.
    pub lease: String,
    /// The last sequence that took effect in this term; 0 before the first.
    pub sequence: u64,
    /// The first term that was claimed on this run id. A snapshot of an older term may have been
    /// rolled back with the store, so the leader publishes its endpoint again.
    pub base: u64,
    /// The run id of the server when the record was written; empty where it cannot be read.
    pub run_id: String,
    /// The channel that only the living leader subscribes to; empty where it cannot be relied on.
    pub alive: String,
    /// The replica that claimed.
    pub replica: String,
    /// Its admin address.
    pub address: String,
    /// When it claimed, in ms by the store's clock.
    pub since: u64,
}

impl Record {
    /// The newest version that took effect.
    pub fn version(&self) -> Version {
        Version::new(self.term, self.sequence)
    }
}

/// What is announced on the leadership channel. Every announcement is a hint: the record decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "announce", rename_all = "snake_case")]
pub enum Announcement {
    /// A replica wrote itself into the record.
    Claimed {
        /// The new term.
        term: u64,
        /// The new leader.
        replica: String,
    },
    /// A leader gave its lease back: the lease is free.
    Released {
        /// The term that ended.
        term: u64,
        /// The replica that led.
        replica: String,
    },
    /// The leader's liveness channel is in the record again: it can be probed.
    Alive {
        /// Its term.
        term: u64,
        /// The replica that leads.
        replica: String,
    },
    /// A standby found the leader dead and took its lease away: the lease is free.
    Reaped {
        /// The term that ended.
        term: u64,
        /// The replica that led.
        replica: String,
    },
    /// A replica has seen a higher term than the leader's, on another server: readers that saw it
    /// too wait until terms pass it.
    Seen {
        /// That term.
        term: u64,
    },
    /// Somebody wants the leader to hand over.
    StepDown {
        /// The term that is to end; a leader of another one goes on.
        term: u64,
        /// Whether the leader itself wants it, since another reaches more of the polled hosts.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        abdicates: bool,
    },
}
