use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Hub;
use super::board::{Board, Entry, Standing};
use super::mailbox::{Mailbox, Mark};
use super::snapshot::Snapshot;
use crate::model::{EndpointName, Gone, Version};

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
    /// An endpoint is no longer polled, or no longer configured. It may come back.
    Gone(Gone),
    /// An endpoint that had gone is back with a snapshot that the client may lack, below versions that it
    /// has: on this stream it cannot be given any more, but on one that starts from nothing.
    StartOver,
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
    told: Vec<Standing>,
    /// Whether the endpoint was not configured for a while, by slot: publications of it may have passed
    /// this gateway by.
    lost: Vec<bool>,
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
        let mut board = self.board.write();
        let place = |name: &str| board.place(name).ok_or_else(|| UnknownEndpoint(name.to_owned()));
        let mut places: Vec<_> = endpoints.into_iter().map(place).collect::<Result<_, _>>()?;
        places.sort_unstable();
        places.dedup();
        let mailbox = Arc::new(Mailbox::new(places.len()));
        let id = board.join(&places, &mailbox);
        drop(board);
        Ok(Subscriber {
            hub: Arc::clone(self),
            id,
            told: vec![Standing::Fresh; places.len()],
            lost: vec![false; places.len()],
            places,
            mailbox,
            cursor: since,
        })
    }
}

impl Subscriber {
    /// Whether a client that has all events so far lacks nothing up to the last version. Not so while an
    /// endpoint is not configured here, and other gateways may pass on what is published of it.
    pub fn is_complete(&self) -> bool {
        !self.lost.contains(&true)
    }

    /// Waits for news and takes some of it, at least one event: the snapshots in ascending
    /// version, then who became stale, fresh or gone. Nothing is lost if the wait is given up.
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
        self.gather_standing(&board, &mut events);
        events
    }

    /// Takes the lowest versions of the newest snapshots; the others stay marked, and may be
    /// conflated until they are taken.
    fn gather_snapshots(&mut self, board: &Board) -> Vec<Event> {
        let mut news = Vec::new();
        let mut starts_over = false;
        for slot in self.mailbox.marked(Mark::Snapshot) {
            let entry = self.places.get(slot).and_then(|at| board.entries.get(*at));
            let held = entry.and_then(|entry| entry.snapshot.as_ref());
            match held.filter(|snapshot| snapshot.version() > self.cursor) {
                Some(snapshot) => news.push((snapshot.version(), slot, snapshot)),
                None => {
                    self.mailbox.clear(slot, Mark::Snapshot);
                    let lost = self.lost.get(slot).is_some_and(|lost| *lost);
                    starts_over |= lost && held.is_some();
                }
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
            if let Some(lost) = self.lost.get_mut(slot) {
                *lost = false;
            }
            events.push(Event::Snapshot(Arc::clone(snapshot)));
        }
        if starts_over {
            events.push(Event::StartOver);
        }
        events
    }

    /// Takes who became stale, fresh or gone, each after the snapshot of its endpoint.
    fn gather_standing(&mut self, board: &Board, events: &mut Vec<Event>) {
        let now = Instant::now();
        let marked = self.mailbox.marked(Mark::Standing);
        for slot in marked.filter(|slot| !self.mailbox.is_marked(*slot, Mark::Snapshot)) {
            self.mailbox.clear(slot, Mark::Standing);
            let entry = self.places.get(slot).and_then(|at| board.entries.get(*at));
            let (Some(entry), Some(told)) = (entry, self.told.get_mut(slot)) else {
                continue;
            };
            if *told == entry.standing {
                continue;
            }
            *told = entry.standing;
            if let Some(lost) = self.lost.get_mut(slot) {
                *lost |= !entry.configured;
            }
            events.push(standing_of(entry, now));
        }
    }
}

/// How an endpoint stands, as an event.
fn standing_of(entry: &Entry, now: Instant) -> Event {
    let endpoint = entry.name.clone();
    let age = entry.age(now);
    match entry.standing {
        Standing::Fresh => Event::Freshness { endpoint, stale: false, age },
        Standing::Stale => Event::Freshness { endpoint, stale: true, age },
        Standing::Gone(version) => Event::Gone(Gone { endpoint, version }),
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.hub.board.write().leave(&self.places, self.id);
    }
}
