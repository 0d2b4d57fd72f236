use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use super::board::Board;
use super::mailbox::{Mailbox, Mark};
use super::snapshot::Snapshot;
use crate::model::{EndpointName, Version};

/// How many bytes of events are gathered at once; a single larger one is still gathered.
///
/// What a slow client has gathered can no longer be conflated, so this and one event bound what
/// it keeps alive.
const CHUNK: usize = 64 * 1024;

/// An endpoint that is not configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no endpoint {0:?}")]
pub struct UnknownEndpoint(pub String);

/// What a subscriber gets to know.
#[derive(Clone, Debug)]
pub enum Event {
    /// A snapshot, newer than everything before it.
    Snapshot(Arc<Snapshot>),
    /// An endpoint became stale or fresh again. To begin with every endpoint counts as fresh.
    Freshness {
        /// The endpoint.
        endpoint: EndpointName,
        /// Whether it is stale.
        stale: bool,
        /// The time since its last good check; `None` when none is known of.
        age: Option<Duration>,
    },
}

impl Event {
    /// Whether it carries a snapshot.
    pub fn is_snapshot(&self) -> bool {
        matches!(self, Self::Snapshot(_))
    }
}

/// One client's view of the endpoints it asked for.
///
/// It holds no snapshots, only marks of what has changed, and pulls from the board what is newest
/// by then.
pub struct Subscriber {
    hub: Arc<Hub>,
    id: u64,
    /// The endpoints' places on the board, by slot.
    places: Vec<usize>,
    /// What was told last, by slot.
    told_stale: Vec<bool>,
    mailbox: Arc<Mailbox>,
    /// The client has everything of its endpoints up to this version.
    cursor: Version,
}

impl Hub {
    /// Subscribes to endpoints; repeated names count once. Nothing up to `since` will be given:
    /// [`Version::NONE`] for a client that has nothing.
    ///
    /// # Errors
    /// Names the first endpoint that is not configured.
    pub fn subscribe<'a>(
        self: &Arc<Self>,
        endpoints: impl IntoIterator<Item = &'a str>,
        since: Version,
    ) -> Result<Subscriber, UnknownEndpoint> {
        let place = |name: &str| {
            let place = self.places.get(name).copied();
            place.ok_or_else(|| UnknownEndpoint(name.to_owned()))
        };
        let mut places: Vec<_> = endpoints.into_iter().map(place).collect::<Result<_, _>>()?;
        places.sort_unstable();
        places.dedup();
        let mailbox = Arc::new(Mailbox::new(places.len()));
        let id = self.board.write().join(&places, &mailbox);
        Ok(Subscriber {
            hub: Arc::clone(self),
            id,
            told_stale: vec![false; places.len()],
            places,
            mailbox,
            cursor: since,
        })
    }
}

impl Subscriber {
    /// Waits for news and takes some of it, at least one event: the snapshots in ascending
    /// version, then who became stale or fresh. Nothing is lost if the wait is given up.
    pub async fn next(&mut self) -> Vec<Event> {
        loop {
            let events = self.gather();
            if !events.is_empty() {
                return events;
            }
            self.mailbox.rung().await;
        }
    }

    /// Takes what is new, under one lock: no version may appear on the board below one that has
    /// been taken.
    pub(super) fn gather(&mut self) -> Vec<Event> {
        let hub = Arc::clone(&self.hub);
        let board = hub.board.read();
        let mut events = self.gather_snapshots(&board);
        self.gather_freshness(&board, &mut events);
        events
    }

    /// Takes the lowest versions of the newest snapshots; the others stay marked, and may be
    /// conflated until they are taken.
    fn gather_snapshots(&mut self, board: &Board) -> Vec<Event> {
        let mut news = Vec::new();
        for slot in self.mailbox.marked(Mark::Snapshot) {
            let entry = self.places.get(slot).and_then(|at| board.entries.get(*at));
            let held = entry.and_then(|entry| entry.snapshot.as_ref());
            match held.filter(|snapshot| snapshot.version() > self.cursor) {
                Some(snapshot) => news.push((snapshot.version(), slot, snapshot)),
                None => self.mailbox.clear(slot, Mark::Snapshot),
            }
        }
        news.sort_unstable_by_key(|(version, ..)| *version);
        let mut events = Vec::new();
        let mut size = 0;
        for (version, slot, snapshot) in news {
            size += snapshot.event().len();
            if size > CHUNK && !events.is_empty() {
                break;
            }
            self.mailbox.clear(slot, Mark::Snapshot);
            self.cursor = version;
            events.push(Event::Snapshot(Arc::clone(snapshot)));
        }
        events
    }

    /// Takes changes of freshness, each after the snapshot of its endpoint.
    fn gather_freshness(&mut self, board: &Board, events: &mut Vec<Event>) {
        let now = Instant::now();
        let marked = self.mailbox.marked(Mark::Freshness);
        for slot in marked.filter(|slot| !self.mailbox.is_marked(*slot, Mark::Snapshot)) {
            self.mailbox.clear(slot, Mark::Freshness);
            let entry = self.places.get(slot).and_then(|at| board.entries.get(*at));
            let (Some(entry), Some(told)) = (entry, self.told_stale.get_mut(slot)) else {
                continue;
            };
            if *told != entry.stale {
                *told = entry.stale;
                events.push(Event::Freshness {
                    endpoint: entry.name.clone(),
                    stale: entry.stale,
                    age: entry.age(now),
                });
            }
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.board.write().leave(&self.places, self.id);
    }
}
