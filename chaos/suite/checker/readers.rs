//! What each reader did and was given.

use std::collections::BTreeMap;

use pollux::model::Version;

use crate::history::{Event, FROZEN, Function, Kind, WOKEN};

/// The reader that pauses: what it is given late, it was told in time.
const SLOW: &str = "slow";

/// How a stream ends that its own client leaves.
const LEFT: &str = "the reader left";

/// A client. It keeps streams, or asks again and again.
#[derive(Default)]
pub(crate) struct Reader<'a> {
    pub(crate) connections: Vec<Connection<'a>>,
    /// All that it got, over streams or not.
    pub(crate) reads: Vec<&'a Event>,
    /// When it was made to stop reading, and when it went on, in µs.
    pub(crate) pauses: Vec<(u64, u64)>,
}

/// A stream, or the attempt to have one.
pub(crate) struct Connection<'a> {
    pub(crate) begun: &'a Event,
    /// That it was taken on.
    pub(crate) taken_on: Option<&'a Event>,
    /// When it ended, in µs; `None`: it lasted until the end of the run.
    pub(crate) ended: Option<u64>,
    /// Whether its own client ended it.
    pub(crate) left: bool,
    /// What it was given and told.
    pub(crate) events: Vec<&'a Event>,
}

impl Reader<'_> {
    /// Whether it keeps streams.
    pub(crate) fn streams(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Whether it was made to stop reading at any time between these, in µs.
    pub(crate) fn pauses_within(&self, from: u64, to: u64) -> bool {
        self.pauses.iter().any(|(since, until)| *since <= to && *until >= from)
    }
}

impl Connection<'_> {
    /// Whether it was asked for that endpoint, as the note of `Connect` says; without a note, for all.
    pub(crate) fn follows(&self, endpoint: &str) -> bool {
        let note = self.begun.note.as_deref();
        note.is_none_or(|names| names.split(',').any(|name| name == endpoint))
    }

    /// When it was taken on, in µs.
    pub(crate) fn opened(&self) -> Option<u64> {
        self.taken_on.map(|event| event.t)
    }

    /// What its client said that it has.
    pub(crate) fn said(&self) -> Version {
        self.begun.of_version().unwrap_or(Version::NONE)
    }
}

/// Whether a reader takes its time: when it got something says nothing about when it was sent.
pub(crate) fn is_slow(name: &str) -> bool {
    name.starts_with(SLOW)
}

/// All readers of a history.
pub(crate) fn of(events: &[Event]) -> BTreeMap<&str, Reader<'_>> {
    let mut readers: BTreeMap<&str, Reader<'_>> = BTreeMap::new();
    for event in events {
        match (event.f, event.kind) {
            (Function::Connect, Kind::Invoke) => {
                let begun = Connection {
                    begun: event,
                    taken_on: None,
                    ended: None,
                    left: false,
                    events: Vec::new(),
                };
                let reader = readers.entry(&event.proc).or_default();
                close(reader, event);
                reader.connections.push(begun);
            }
            (Function::Connect, Kind::Ok) => {
                let reader = readers.entry(&event.proc).or_default();
                if let Some(last) = reader.connections.last_mut() {
                    last.taken_on = Some(event);
                }
            }
            (Function::Connect, _) => close(readers.entry(&event.proc).or_default(), event),
            (Function::Read, Kind::Ok) | (Function::Stale | Function::Fresh, _) => {
                let reader = readers.entry(&event.proc).or_default();
                if event.f == Function::Read {
                    reader.reads.push(event);
                }
                if let Some(last) = reader.connections.last_mut() {
                    last.events.push(event);
                }
            }
            (Function::Process, _) => {
                if let Some(reader) = readers.get_mut(event.proc.as_str()) {
                    pause(reader, event);
                }
            }
            _ => {}
        }
    }
    readers
}

fn close(reader: &mut Reader<'_>, event: &Event) {
    if let Some(last) = reader.connections.last_mut().filter(|last| last.ended.is_none()) {
        last.ended = Some(event.t);
        last.left = event.error.as_deref() == Some(LEFT);
    }
}

fn pause(reader: &mut Reader<'_>, event: &Event) {
    let note = event.note.as_deref().unwrap_or_default();
    if note.starts_with(FROZEN) {
        reader.pauses.push((event.t, u64::MAX));
    } else if let Some((_, until)) = reader.pauses.last_mut().filter(|_| note.starts_with(WOKEN)) {
        *until = event.t.min(*until);
    }
}
