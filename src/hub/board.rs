use std::collections::{BTreeSet, HashMap, HashSet};
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
use crate::telemetry::EndpointLabels;

/// What a hub holds. One lock guards it, so that whoever gathers from it sees everything up to
/// the newest version that it sees.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// All that were ever configured: a place once given stays the endpoint's, since subscribers keep it.
    pub(super) entries: Vec<Entry>,
    /// Where an endpoint stands.
    places: HashMap<EndpointName, usize>,
    /// The places of those that are configured now, in that order.
    order: Vec<usize>,
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
    pub(super) standing: Standing,
    pub(super) configured: bool,
    /// Whether the store was read for it since it is configured.
    read: bool,
    watchers: HashMap<u64, Watcher>,
}

/// How an endpoint is doing beside its snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is checked as often as it should be.
    #[default]
    Fresh,
    /// Its last good check is too long ago.
    Stale,
    /// It is no longer polled, or no longer configured; its place in the order of the cluster.
    Gone(Version),
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
    /// Goes on with these endpoints; whether some of them are new, or back.
    pub(super) fn configure(&mut self, endpoints: &[EndpointConfig]) -> bool {
        self.configure_with(endpoints, EndpointLabels::for_count(endpoints.len()))
    }

    /// The same with metrics of these labels.
    pub(super) fn configure_with(
        &mut self,
        endpoints: &[EndpointConfig],
        labels: EndpointLabels,
    ) -> bool {
        let mut added = false;
        let before = std::mem::take(&mut self.order);
        for config in endpoints {
            let label = labels.label(config);
            let place = match self.places.get(&config.name) {
                Some(&place) => place,
                None => {
                    self.entries.push(Entry::new(config.name.clone(), label.clone()));
                    self.places.insert(config.name.clone(), self.entries.len() - 1);
                    self.entries.len() - 1
                }
            };
            if let Some(entry) = self.entries.get_mut(place) {
                added |= !entry.configured;
                entry.configure(config, label);
            }
            self.order.push(place);
        }
        let kept: HashSet<usize> = self.order.iter().copied().collect();
        for place in before.into_iter().filter(|place| !kept.contains(place)) {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.dismiss(self.position);
            }
        }
        added
    }

    /// Wakes all subscribers: they may have asked for what is new.
    pub(super) fn ring(&self) {
        let watchers = self.entries.iter().flat_map(|entry| entry.watchers.values());
        watchers.for_each(|watcher| watcher.mailbox.ring());
    }

    /// Where an endpoint stands that is configured.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        let place = *self.places.get(name)?;
        self.entries.get(place).filter(|entry| entry.configured).map(|_| place)
    }

    /// Whether a version of an endpoint is newer than what is held.
    pub(super) fn lacks(&self, name: &EndpointName, version: Version) -> bool {
        let entry = self.places.get(name).and_then(|place| self.entries.get(*place));
        entry.is_some_and(|entry| entry.configured && entry.lacks(version))
    }

    /// An endpoint that is configured.
    pub(super) fn configured(&mut self, name: &EndpointName) -> Option<&mut Entry> {
        let place = *self.places.get(name)?;
        self.entries.get_mut(place).filter(|entry| entry.configured)
    }

    /// The endpoints that are configured, in that order.
    pub(super) fn present(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|place| self.entries.get(*place))
    }

    /// The labels of all that are configured.
    pub(super) fn labels(&self) -> BTreeSet<Label> {
        self.present().map(|entry| entry.label.clone()).collect()
    }

    /// The names of all that are configured.
    pub(super) fn names(&self) -> Vec<EndpointName> {
        self.present().map(|entry| entry.name.clone()).collect()
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
    /// An endpoint that is yet to be configured.
    fn new(name: EndpointName, label: Label) -> Self {
        Self {
            name,
            label,
            every: Duration::ZERO,
            stale_after: Duration::ZERO,
            snapshot: None,
            check: None,
            since: Instant::now(),
            standing: Standing::Fresh,
            configured: false,
            read: false,
            watchers: HashMap::new(),
        }
    }

    /// Takes the settings that apply from now on. One that is back is waited for anew.
    fn configure(&mut self, config: &EndpointConfig, label: Label) {
        (self.every, self.stale_after, self.label) = (config.every, config.stale_after, label);
        if !self.configured {
            (self.configured, self.since) = (true, Instant::now());
            self.stand(Standing::Fresh);
        }
    }

    /// Whether a version is newer than what is held.
    pub(super) fn lacks(&self, version: Version) -> bool {
        let gone = match self.standing {
            Standing::Gone(gone) => gone,
            _ => Version::NONE,
        };
        version > gone && self.snapshot.as_ref().is_none_or(|held| held.version() < version)
    }

    /// Notes that its leader no longer polls it as of `version`. Its snapshot is served on, as stale: a
    /// leader may know of another configuration than this gateway.
    pub(super) fn depart(&mut self, version: Version) {
        if self.lacks(version) && !self.is_gone() {
            self.check = None;
            self.stand(Standing::Gone(version));
        }
    }

    /// Notes that it is no longer configured. What each subscriber has of it by now is all that it can be
    /// sure of, whether or not it was told before that the endpoint is gone.
    fn dismiss(&mut self, position: Version) {
        (self.configured, self.read) = (false, false);
        (self.snapshot, self.check) = (None, None);
        self.mark(Mark::Snapshot);
        if !self.is_gone() {
            self.stand(Standing::Gone(position));
        }
    }

    /// Whether what is held of it is all that there is, be it nothing.
    pub(super) fn is_known(&self) -> bool {
        self.configured && self.read
    }

    /// Notes that the store was read for it. Where it had nothing, that is news too.
    pub(super) fn was_read(&mut self) {
        if !std::mem::replace(&mut self.read, true) {
            self.mark(Mark::Snapshot);
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self.standing, Standing::Gone(_))
    }

    fn stand(&mut self, standing: Standing) {
        if self.standing != standing {
            self.standing = standing;
            self.mark(Mark::Standing);
        }
    }

    /// Takes a snapshot if it is newer than the one held. Returns how many subscribers will get
    /// it in place of one that they had not fetched yet.
    pub(super) fn take(&mut self, snapshot: Arc<Snapshot>) -> u64 {
        if !self.lacks(snapshot.version()) {
            return 0;
        }
        self.snapshot = Some(snapshot);
        if self.is_gone() {
            self.since = Instant::now();
            self.stand(Standing::Fresh);
        }
        self.mark(Mark::Snapshot)
    }

    /// Notes a good check by the leader of `term`. One of an older leadership than that of the
    /// snapshot held, which goes on where the newest was lost, checked something else.
    pub(super) fn checked(&mut self, term: u64, check: Check, now: Instant) {
        let newer = self.snapshot.as_ref().is_some_and(|held| held.version().term > term);
        if newer || self.is_gone() {
            return;
        }
        self.check = Some(latest(self.check, check, now));
        self.tell_freshness(now);
    }

    /// Tells subscribers if the endpoint has become stale or fresh.
    pub(super) fn tell_freshness(&mut self, now: Instant) {
        if !self.is_gone() {
            self.stand(if self.is_stale(now) { Standing::Stale } else { Standing::Fresh });
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
