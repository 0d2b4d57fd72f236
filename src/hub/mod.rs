//! The in-memory fan-out of one gateway.
//!
//! A [`Hub`] holds the newest snapshot of every endpoint and the age of its last good check. It
//! [follows](Hub::follow) a store without a gap and serves any number of [`Subscriber`]s, each of
//! which pulls what it has not seen yet. Nothing is queued for a subscriber: one that is slow
//! finds the newest snapshot in place of its backlog.

mod board;
mod counters;
mod follow;
mod freshness;
mod gauges;
mod mailbox;
mod snapshot;
mod subscriber;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use counters::{ClientGuard, Counters, Counts};
pub use snapshot::Snapshot;
pub use subscriber::{Event, Subscriber, UnknownEndpoint};

use crate::config::EndpointConfig;
use crate::model::{EndpointName, Version};
use board::Board;

/// The newest snapshots of one gateway's endpoints, and those who wait for newer ones.
pub struct Hub {
    board: RwLock<Board>,
    /// Told when there are endpoints that were not read yet.
    reconfigured: Notify,
    counters: Counters,
}

/// What a hub knows of one endpoint.
#[derive(Clone, Debug)]
pub struct EndpointView {
    /// The endpoint.
    pub name: EndpointName,
    /// How often it is polled.
    pub every: Duration,
    /// The age from which it is called stale.
    pub stale_after: Duration,
    /// The time since its last good check; `None` when none is known of.
    pub age: Option<Duration>,
    /// Whether the last good check is longer ago than `stale_after`, or none is known of and that
    /// long has been waited for one.
    pub stale: bool,
    /// The newest snapshot; `None` when it was never fetched.
    pub snapshot: Option<Arc<Snapshot>>,
}

impl EndpointView {
    /// The version of the newest snapshot.
    pub fn version(&self) -> Option<Version> {
        self.snapshot.as_ref().map(|snapshot| snapshot.version())
    }

    /// The size of the newest snapshot's body, in bytes.
    pub fn size(&self) -> Option<usize> {
        self.snapshot.as_ref().map(|snapshot| snapshot.publication().body.bytes().len())
    }
}

impl Hub {
    /// A hub that holds nothing yet of these endpoints.
    pub fn new(endpoints: &[EndpointConfig]) -> Arc<Self> {
        let mut board = Board::default();
        board.configure(endpoints);
        Arc::new(Self {
            board: RwLock::new(board),
            reconfigured: Notify::new(),
            counters: Counters::starting_at_zero(),
        })
    }

    /// Goes on with these endpoints. Those that are no longer among them are told of as gone; new ones
    /// are read at once.
    pub fn reconfigure(&self, endpoints: &[EndpointConfig]) {
        let mut board = self.board.write();
        let before = board.labels();
        let added = board.configure(endpoints);
        gauges::forget(before.difference(&board.labels()));
        if added {
            board.ring();
            self.reconfigured.notify_one();
        }
    }

    /// Whether the store has been read once; an outage afterwards does not change that.
    pub fn ready(&self) -> bool {
        self.board.read().ready
    }

    /// How far this hub has got: everything up to this version was passed on or superseded.
    pub fn version(&self) -> Version {
        self.board.read().position
    }

    /// What is known of all endpoints, in the order of their configuration.
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let now = Instant::now();
        let board = self.board.read();
        board.present().map(|entry| entry.view(now)).collect()
    }

    /// What is known of one endpoint; `None` when it is not configured.
    pub fn endpoint(&self, name: &str) -> Option<EndpointView> {
        let board = self.board.read();
        Some(board.entries.get(board.place(name)?)?.view(Instant::now()))
    }

    /// What this gateway has served so far.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// Where those who serve clients count what they do.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
