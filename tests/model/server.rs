//! A Redis server, and the scripts as its atomic steps.

use crate::safeguards::{Safeguard, Safeguards};

/// What the backend answers and the store holds; 0: nothing.
pub type Body = u8;
/// A number that no other acquisition has; 0: the lease is free, or was given back.
pub type LeaseValue = u8;
pub type Term = u8;
/// Changes with each restart.
pub type RunId = u8;

/// The order of all publications.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub term: Term,
    pub sequence: u8,
}

/// A snapshot of the one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publication {
    pub version: Version,
    pub body: Body,
}

/// The last claim and how far it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub term: Term,
    pub lease: LeaseValue,
    pub sequence: u8,
    pub base: Term,
    pub run_id: RunId,
    /// Whether it names a liveness channel: that of the acquisition `lease`.
    pub alive: bool,
}

/// What is replicated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Data {
    pub lease: LeaseValue,
    pub record: Option<Record>,
    pub snapshot: Publication,
    /// Not in Redis: the highest version that ever took effect in this history.
    pub highest: Version,
    /// Not in Redis: the highest term there was anywhere when a claim got none above it here, in the
    /// way that is excepted; 0 again once something is published above it.
    pub excused: Term,
    /// Not in Redis: term and number of the last beat that took effect.
    pub last_beat: (Term, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    pub run_id: RunId,
    /// Whether its clock is behind every term ever claimed, instead of ahead of it.
    pub behind: bool,
    pub data: Data,
}

/// What a batch carries: one publication, or a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Payload {
    Publication(Body),
    /// A beat tells of checks only when it is sent for the first time.
    Beat {
        checks: bool,
    },
}

/// A batch as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Batch {
    pub term: Term,
    pub lease: LeaseValue,
    /// The sequence that the record must have.
    pub after: u8,
    /// Not sent: which of its leadership's beats it is.
    pub beat: u8,
    pub payload: Payload,
}

/// What a claim brings.
pub struct ClaimRequest {
    pub lease: LeaseValue,
    pub seen: Term,
    pub reinstate: bool,
    /// Whether the liveness channel is subscribed to on this server.
    pub alive: bool,
    /// The server's time, where its clock is right.
    pub time: Term,
}

/// What came of a batch.
pub struct Effect {
    /// What is told to subscribers, if it is a publication.
    pub published: Option<Publication>,
    /// Something of a higher version took effect before, or the same.
    pub out_of_order: bool,
    /// It tells of checks, though a later beat took effect before.
    pub late_beat: bool,
}

impl Batch {
    /// The sequence once it has taken effect.
    pub fn last(&self) -> u8 {
        self.after + u8::from(matches!(self.payload, Payload::Publication(_)))
    }
}

impl Server {
    /// `claim.lua`.
    pub fn claim(&mut self, request: &ClaimRequest, safeguards: Safeguards) -> Option<Record> {
        let same_server = self.data.record.is_some_and(|record| record.run_id == self.run_id);
        if self.data.lease == 0 && request.reinstate && !same_server {
            self.data.lease = request.lease;
        }
        if self.data.lease != request.lease {
            return None;
        }
        let previous = self.data.record.filter(|_| same_server);
        let seen = if safeguards.has(Safeguard::HighestSeen) { request.seen } else { 0 };
        let spent = |record: &Record| safeguards.has(Safeguard::SpentTerm) && record.term <= seen;
        let repeated = previous.filter(|record| record.lease == request.lease && !spent(record));
        if repeated.is_some() {
            return repeated;
        }
        let stored = self.data.record.map_or(0, |record| record.term);
        let timed = safeguards.has(Safeguard::Time) && !self.behind;
        let time = if timed { request.time } else { 0 };
        let term = (stored + 1).max(seen + 1).max(time);
        let kept = previous.filter(|_| seen <= stored);
        let record = Record {
            term,
            lease: request.lease,
            sequence: 0,
            base: kept.map_or(term, |record| record.base),
            run_id: self.run_id,
            alive: request.alive,
        };
        self.data.record = Some(record);
        Some(record)
    }

    /// `release.lua`.
    pub fn release(&mut self, term: Term, lease: LeaseValue) {
        if self.data.lease == lease {
            self.data.lease = 0;
        }
        if let Some(record) = self.recorded(term, lease) {
            record.lease = 0;
            record.alive = false;
        }
    }

    /// The record, if it is that of a leadership.
    pub fn recorded(&mut self, term: Term, lease: LeaseValue) -> Option<&mut Record> {
        self.data.record.as_mut().filter(|record| record.term == term && record.lease == lease)
    }

    /// `publish.lua`. `late`: the date of its beat has passed. `None`: fenced.
    pub fn publish(&mut self, batch: &Batch, late: bool, safeguards: Safeguards) -> Option<Effect> {
        if !self.accepts(batch, safeguards) {
            return None;
        }
        let data = &mut self.data;
        if let Some(record) = &mut data.record {
            record.sequence = batch.last();
        }
        let mut effect = Effect { published: None, out_of_order: false, late_beat: false };
        match batch.payload {
            Payload::Publication(body) => {
                let version = Version { term: batch.term, sequence: batch.last() };
                data.snapshot = Publication { version, body };
                effect.published = Some(data.snapshot);
                if version.term > data.excused {
                    data.excused = 0;
                }
                effect.out_of_order = version <= data.highest && data.excused == 0;
                data.highest = data.highest.max(version);
            }
            Payload::Beat { .. } if late && safeguards.has(Safeguard::DatedBeats) => {}
            Payload::Beat { checks } => {
                let beat = (batch.term, batch.beat);
                effect.late_beat = checks && beat < data.last_beat;
                data.last_beat = data.last_beat.max(beat);
            }
        }
        Some(effect)
    }

    /// Whether the record is as a batch expects it.
    pub fn accepts(&self, batch: &Batch, safeguards: Safeguards) -> bool {
        if !safeguards.has(Safeguard::ExactRecord) {
            return self.data.record.is_none_or(|record| record.term <= batch.term);
        }
        let counted = |record: &Record| {
            record.sequence == batch.after || !safeguards.has(Safeguard::Sequence)
        };
        let same = |record: &Record| record.term == batch.term && record.lease == batch.lease;
        self.data.record.as_ref().is_some_and(|record| same(record) && counted(record))
    }
}
