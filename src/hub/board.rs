use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::Label;
use tokio::time::Instant;

use super::EndpointView;
use super::freshness::{Check, latest};
use super::mailbox::{Mailbox, Mark};
use super::snapshot::Snapshot;
use crate::config::EndpointConfig;
use crate::model::{EndpointName, Version};

/// What a hub holds. One lock guards it, so that whoever gathers from it sees everything up to
/// the newest version that it sees.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) entries: Vec<Entry>,
    /// Everything up to this version was passed on or superseded.
    pub(super) position: Version,
    /// Whether the store has been read once.
    pub(super) ready: bool,
    next_subscriber: u64,
}

/// One endpoint on the board.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: EndpointName,
    /// Its label in metrics.
    pub(super) label: Label,
    every: Duration,
    stale_after: Duration,
    pub(super) snapshot: Option<Arc<Snapshot>>,
    check: Option<Check>,
    /// Since when this gateway waits for a first check.
    since: Instant,
    /// What subscribers are told; follows [`Entry::is_stale`] at each check and tick.
    pub(super) stale: bool,
    watchers: HashMap<u64, Watcher>,
}

/// A subscriber of an endpoint.
#[derive(Debug)]
struct Watcher {
    mailbox: Arc<Mailbox>,
    slot: usize,
}

/// How a publication's version stands to the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It was passed on before, or superseded.
    Known,
    /// It is the next.
    Next,
    /// At least one was missed.
    Gap,
    /// Another leadership published it.
    NewTerm,
}

impl Order {
    /// Compares a publication's version with the position.
    pub(super) fn of(version: Version, position: Version) -> Self {
        if version <= position {
            Self::Known
        } else if version.follows(position) {
            Self::Next
        } else if version.term == position.term {
            Self::Gap
        } else {
            Self::NewTerm
        }
    }
}

impl Board {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self { entries, position: Version::NONE, ready: false, next_subscriber: 0 }
    }

    /// Adds a subscriber of the endpoints at `places`, in the order of its slots.
    pub(super) fn join(&mut self, places: &[usize], mailbox: &Arc<Mailbox>) -> u64 {
        let id = self.next_subscriber;
        self.next_subscriber += 1;
        for (slot, place) in places.iter().enumerate() {
            if let Some(entry) = self.entries.get_mut(*place) {
                let mailbox = Arc::clone(mailbox);
                entry.watchers.insert(id, Watcher { mailbox, slot });
            }
        }
        id
    }

    /// Removes a subscriber.
    pub(super) fn leave(&mut self, places: &[usize], id: u64) {
        for place in places {
            if let Some(entry) = self.entries.get_mut(*place) {
                entry.watchers.remove(&id);
            }
        }
    }
}

impl Entry {
    pub(super) fn new(config: &EndpointConfig, label: Label) -> Self {
        Self {
            name: config.name.clone(),
            label,
            every: config.every,
            stale_after: config.stale_after,
            snapshot: None,
            check: None,
            since: Instant::now(),
            stale: false,
            watchers: HashMap::new(),
        }
    }

    /// Whether a version is newer than what is held.
    pub(super) fn lacks(&self, version: Version) -> bool {
        self.snapshot.as_ref().is_none_or(|held| held.version() < version)
    }

    /// Takes a snapshot if it is newer than the one held. Returns how many subscribers will get
    /// it in place of one that they had not fetched yet.
    pub(super) fn take(&mut self, snapshot: Arc<Snapshot>) -> u64 {
        if !self.lacks(snapshot.version()) {
            return 0;
        }
        self.snapshot = Some(snapshot);
        self.mark(Mark::Snapshot)
    }

    /// Notes a good check by the leader of `term`. One of an older leadership than that of the
    /// snapshot held, which goes on where the newest was lost, checked something else.
    pub(super) fn checked(&mut self, term: u64, check: Check, now: Instant) {
        if self.snapshot.as_ref().is_some_and(|held| held.version().term > term) {
            return;
        }
        self.check = Some(latest(self.check, check, now));
        self.tell_freshness(now);
    }

    /// Tells subscribers if the endpoint has become stale or fresh.
    pub(super) fn tell_freshness(&mut self, now: Instant) {
        let stale = self.is_stale(now);
        if stale != self.stale {
            self.stale = stale;
            self.mark(Mark::Freshness);
        }
    }

    /// The time since the last good check.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.check.map(|check| check.age(now))
    }

    /// Whether the last good check is too long ago. Where none is known of, a snapshot is too old,
    /// and what has none becomes so in the same time as from a good check.
    fn is_stale(&self, now: Instant) -> bool {
        match (self.age(now), &self.snapshot) {
            (Some(age), _) => age > self.stale_after,
            (None, Some(_)) => true,
            (None, None) => now.saturating_duration_since(self.since) > self.stale_after,
        }
    }

    pub(super) fn view(&self, now: Instant) -> EndpointView {
        EndpointView {
            name: self.name.clone(),
            every: self.every,
            stale_after: self.stale_after,
            age: self.age(now),
            stale: self.is_stale(now),
            snapshot: self.snapshot.clone(),
        }
    }

    /// How many subscribers it has.
    #[cfg(test)]
    pub(super) fn watchers(&self) -> usize {
        self.watchers.len()
    }

    /// Marks the endpoint for all its subscribers. Returns for how many it was marked already.
    fn mark(&self, mark: Mark) -> u64 {
        let again = |watcher: &&Watcher| watcher.mailbox.mark(watcher.slot, mark);
        self.watchers.values().filter(again).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_the_position_is_next() {
        let position = Version::new(7, 3);
        let order = |term, sequence| Order::of(Version::new(term, sequence), position);
        assert_eq!(order(7, 4), Order::Next);
        assert_eq!(order(7, 3), Order::Known);
        assert_eq!(order(6, 9), Order::Known);
        assert_eq!(order(7, 5), Order::Gap);
        assert_eq!(order(8, 1), Order::NewTerm);
    }
}
