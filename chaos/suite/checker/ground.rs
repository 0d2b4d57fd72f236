//! What the rules stand on: the run, its history by kind, and what is granted to those who stamp it.

use std::collections::BTreeMap;

use super::readers::{self, Reader};
use crate::history::{Event, Function, Kind, WATCHED};
use crate::run::Run;

/// By how much the stamps of two observers may be the wrong way round, or something may come late, on a
/// machine that has better things to do, in µs. A thread that is ready may wait for several slices of
/// other ones, and a lost packet is sent again after 200 ms.
pub(super) const SLACK: u64 = 250_000;
/// What a recorder may have missed of a server before it says that it watches, in µs: it connects within
/// a second or tries again at once.
pub(super) const UNSEEN: u64 = 1_100_000;

/// What keeps a promise from being called kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doubt {
    Broken { why: String, excerpt: Vec<Event> },
    Unknown { why: String },
}

/// `Ok`: it was kept.
pub(super) type Judgement = Result<(), Doubt>;

/// A promise was broken, as these events show.
pub(super) fn broken<T>(why: impl Into<String>, excerpt: &[&Event]) -> Result<T, Doubt> {
    let excerpt = excerpt.iter().map(|event| (*event).clone()).collect();
    Err(Doubt::Broken { why: why.into(), excerpt })
}

/// Nobody can say whether it was kept.
pub(super) fn unknown<T>(why: impl Into<String>) -> Result<T, Doubt> {
    Err(Doubt::Unknown { why: why.into() })
}

/// A run and its history.
pub(super) struct Ground<'a> {
    pub(super) run: &'a Run,
    pub(super) events: &'a [Event],
    pub(super) readers: BTreeMap<&'a str, Reader<'a>>,
}

impl<'a> Ground<'a> {
    pub(super) fn of(run: &'a Run, events: &'a [Event]) -> Self {
        Self { run, events, readers: readers::of(events) }
    }

    /// All events of a kind, in the order in which they happened.
    pub(super) fn all(
        &self,
        kind: Kind,
        f: Function,
    ) -> impl DoubleEndedIterator<Item = &'a Event> {
        self.events.iter().filter(move |event| event.kind == kind && event.f == f)
    }

    /// All operations that took effect.
    pub(super) fn ok(&self, f: Function) -> impl DoubleEndedIterator<Item = &'a Event> {
        self.all(Kind::Ok, f)
    }

    /// Nothing can be said without any of these.
    pub(super) fn needs(&self, kind: Kind, f: Function, what: &str) -> Judgement {
        match self.all(kind, f).next() {
            Some(_) => Ok(()),
            None => unknown(format!("no {what} was recorded")),
        }
    }

    /// When recorders began to watch a server: what it did shortly before may be missing.
    pub(super) fn watches(&self) -> impl Iterator<Item = &'a Event> {
        self.all(Kind::Info, Function::Process).filter(|event| begins_watch(event))
    }

    pub(super) fn first_fault(&self) -> Result<&'a Event, Doubt> {
        match self.all(Kind::Invoke, Function::Fault).next() {
            Some(fault) => Ok(fault),
            None => unknown("no fault was made"),
        }
    }

    /// The last heal; where nothing was healed, the landing of what healed by itself.
    pub(super) fn last_heal(&self) -> Result<&'a Event, Doubt> {
        let last = |kind| self.all(kind, Function::Fault).last();
        match last(Kind::Info).or_else(|| last(Kind::Ok)) {
            Some(heal) => Ok(heal),
            None => unknown("no fault was seen to land or heal"),
        }
    }

    /// Until when the cluster was left to itself, in µs: then it is asked, and stopped. Where quiet never
    /// came, until readers got their last.
    pub(super) fn until(&self) -> u64 {
        let last = || self.ok(Function::Read).last().map_or(0, |read| read.t);
        self.run.quiet_at.unwrap_or_else(last)
    }
}

pub(super) fn begins_watch(event: &Event) -> bool {
    let note = event.note.as_deref().unwrap_or_default();
    event.f == Function::Process && note.starts_with(WATCHED)
}

/// What a publication has its place among: a server, and its run id.
pub(super) fn place(event: &Event) -> (&str, &str) {
    (event.server.as_deref().unwrap_or_default(), event.run_id.as_deref().unwrap_or_default())
}

/// A time in ms, as sentences have it.
pub(super) fn ms(us: u64) -> u64 {
    us.div_ceil(1000)
}
