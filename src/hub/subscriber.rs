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
    slots: Vec<Slot>,
    /// Those it asked for that are not configured here.
    absent: Vec<EndpointName>,
    /// Whether it was told that those are gone.
    absence_told: bool,
    mailbox: Arc<Mailbox>,
    /// The client has everything of its endpoints up to this version.
    cursor: Version,
}

/// One endpoint of a subscriber.
struct Slot {
    /// Its place on the board.
    place: usize,
    /// What was told last.
    told: Standing,
    /// Where it was not configured here, or not read yet: up to which version the client has everything
    /// of it. Later publications may have passed this gateway by.
    lost: Option<Version>,
}

impl Hub {
    /// Subscribes to endpoints; repeated names count once. Nothing up to `since` will be given:
    /// [`Version::NONE`] for a client that has nothing.
    ///
    /// A name that is not configured here, though others are, is told as gone: another gateway's
    /// configuration may be older or newer, and a client should not lose the others with it.
    ///
    /// # Errors
    /// Names the first endpoint if none is configured, and any that cannot be one's name.
    pub fn subscribe<'a>(
        self: &Arc<Self>,
        endpoints: impl IntoIterator<Item = &'a str>,
        since: Version,
    ) -> Result<Subscriber, UnknownEndpoint> {
        let unknown = |name: &str| UnknownEndpoint(name.to_owned());
        let (mut places, mut absent) = (Vec::new(), Vec::new());
        let mut board = self.board.write();
        for name in endpoints {
            match board.place(name) {
                Some(place) => places.push(place),
                None => absent.push(EndpointName::new(name).map_err(|_| unknown(name))?),
            }
        }
        if let (true, Some(name)) = (places.is_empty(), absent.first()) {
            return Err(unknown(name.as_str()));
        }
        places.sort_unstable();
        places.dedup();
        absent.sort_unstable();
        absent.dedup();
        let mailbox = Arc::new(Mailbox::new(places.len()));
        let id = board.join(&places, &mailbox);
        drop(board);
        let slot = |place| Slot { place, told: Standing::Fresh, lost: None };
        Ok(Subscriber {
            hub: Arc::clone(self),
            id,
            slots: places.into_iter().map(slot).collect(),
            absent,
            absence_told: false,
            mailbox,
            cursor: since,
        })
    }
}

impl Subscriber {
    /// Whether a client that has all events so far lacks nothing up to the last version. Not so while an
    /// endpoint is not configured here, and other gateways may pass on what is published of it.
    pub fn is_complete(&self) -> bool {
        self.absent.is_empty() && self.slots.iter().all(|slot| slot.lost.is_none())
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
        self.gather_absence(&board, &mut events);
        events
    }

    /// Takes the lowest versions of the newest snapshots; the others stay marked, and may be
    /// conflated until they are taken.
    fn gather_snapshots(&mut self, board: &Board) -> Vec<Event> {
        let mut news = Vec::new();
        let mut starts_over = false;
        for number in self.mailbox.marked(Mark::Snapshot) {
            let Some(slot) = self.slots.get_mut(number) else { continue };
            let Some(entry) = board.entries.get(slot.place) else { continue };
            match &entry.snapshot {
                Some(snapshot) if snapshot.version() > self.cursor => {
                    news.push((snapshot.version(), number, snapshot));
                    continue;
                }
                Some(snapshot) => {
                    // The client has it; or it passed this gateway by, and is too late for this stream.
                    slot.lost = slot.lost.filter(|had| snapshot.version() > *had);
                    starts_over |= slot.lost.is_some();
                }
                None if entry.is_known() => slot.lost = None,
                None => slot.lost = slot.lost.or(Some(self.cursor)),
            }
            self.mailbox.clear(number, Mark::Snapshot);
        }
        news.sort_unstable_by_key(|(version, ..)| *version);
        let mut events = Vec::new();
        let mut size = 0;
        for (version, number, snapshot) in news {
            size += snapshot.event().len();
            if size > CHUNK && !events.is_empty() {
                break;
            }
            self.mailbox.clear(number, Mark::Snapshot);
            self.cursor = version;
            if let Some(slot) = self.slots.get_mut(number) {
                slot.lost = None;
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
        for number in marked.filter(|number| !self.mailbox.is_marked(*number, Mark::Snapshot)) {
            self.mailbox.clear(number, Mark::Standing);
            let Some(slot) = self.slots.get_mut(number) else { continue };
            let Some(entry) = board.entries.get(slot.place) else { continue };
            if slot.told == entry.standing {
                continue;
            }
            slot.told = entry.standing;
            events.push(standing_of(entry, now));
        }
    }

    /// Takes that endpoints are not configured here; and once they are, that the client needs another
    /// stream to get them.
    fn gather_absence(&mut self, board: &Board, events: &mut Vec<Event>) {
        if self.absent.iter().any(|name| board.place(name.as_str()).is_some()) {
            events.push(Event::StartOver);
        } else if !std::mem::replace(&mut self.absence_told, true) {
            let version = board.position;
            let gone = |name: &EndpointName| Gone { endpoint: name.clone(), version };
            events.extend(self.absent.iter().map(gone).map(Event::Gone));
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
        let places: Vec<usize> = self.slots.iter().map(|slot| slot.place).collect();
        self.hub.board.write().leave(&places, self.id);
    }
}
