use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::Instant;
use uuid::Uuid;

use crate::model::{Announcement, EndpointName, Publication, Record};
use crate::store::{
    Batch, Cause, Claim, ClaimRequest, FailureKind, GONE_EXPIRY, LeaseValue, Observation,
    PRESENCE_EXPIRY, PollState, Presence, Published, Pulse, Reading, ReleaseReason, Standing,
    StoreError, TIMELINE, TimelineEntry,
};

/// How many messages a subscriber may lag behind before its subscription ends.
pub(super) const BACKLOG: usize = 1024;

/// What the store holds, and the atomic steps on it.
pub(super) struct State {
    pub(super) run_id: String,
    pub(super) clock: StoreClock,
    pub(super) lease: Option<Lease>,
    pub(super) record: Option<Record>,
    pub(super) endpoints: HashMap<EndpointName, Stored>,
    pub(super) replicas: BTreeMap<String, Presence>,
    pub(super) timeline: VecDeque<TimelineEntry>,
    /// The publications that are kept, the newest first.
    pub(super) history: VecDeque<Publication>,
    pub(super) updates: broadcast::Sender<Bytes>,
    pub(super) leadership: broadcast::Sender<Bytes>,
    /// The liveness channels that are, or were, subscribed to.
    pub(super) alive: HashMap<Uuid, broadcast::Sender<Bytes>>,
}

#[cfg_attr(test, derive(Clone))]
pub(super) struct Lease {
    pub(super) value: LeaseValue,
    pub(super) until: Instant,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Stored {
    pub(super) snapshot: Option<Publication>,
    pub(super) state: Option<PollState>,
    pub(super) checked_at: Option<u64>,
    /// Until when the snapshot is kept, where the endpoint is no longer polled.
    pub(super) kept_until: Option<Instant>,
}

/// Wall-clock time that goes on with tokio's clock, so that it stands still when that is paused.
pub(super) struct StoreClock {
    pub(super) start: Instant,
    pub(super) start_ms: u64,
}

impl StoreClock {
    #[expect(clippy::disallowed_methods, reason = "within one process it is the store's time")]
    pub(super) fn new() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { start: Instant::now(), start_ms: millis(wall.unwrap_or_default()) }
    }

    pub(super) fn now(&self) -> u64 {
        self.start_ms + millis(self.start.elapsed())
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            run_id: Uuid::new_v4().simple().to_string(),
            clock: StoreClock::new(),
            lease: None,
            record: None,
            endpoints: HashMap::new(),
            replicas: BTreeMap::new(),
            timeline: VecDeque::new(),
            history: VecDeque::new(),
            updates: broadcast::Sender::new(BACKLOG),
            leadership: broadcast::Sender::new(BACKLOG),
            alive: HashMap::new(),
        }
    }

    /// The lease, if it has not ended.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > Instant::now())
    }

    pub(super) fn holds(&self, value: &LeaseValue) -> bool {
        self.lease().is_some_and(|lease| lease.value == *value)
    }

    pub(super) fn hold(&mut self, value: &LeaseValue, duration: Duration) {
        self.lease = Some(Lease { value: value.clone(), until: Instant::now() + duration });
    }

    /// Whether the record is this claim's.
    pub(super) fn is_recorded(&self, claim: &Claim) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.term == claim.term && record.lease == claim.lease.to_string()
        })
    }

    pub(super) fn observe(&self) -> Observation {
        Observation {
            held_for: self.lease().map(|lease| lease.until - Instant::now()),
            record: self.record.clone(),
            run_id: self.run_id.clone(),
            pulse: self.record.as_ref().map_or(Pulse::Unknown, |record| self.pulse(record)),
        }
    }

    /// Whether the leader in `record` is still subscribed to its liveness channel.
    pub(super) fn pulse(&self, record: &Record) -> Pulse {
        let recorded = self.lease().is_some_and(|lease| lease.value.to_string() == record.lease);
        if !recorded || record.alive.is_empty() || record.run_id != self.run_id {
            return Pulse::Unknown;
        }
        let heard = Uuid::parse_str(&record.alive).is_ok_and(|alive| self.is_heard(alive));
        if heard { Pulse::Felt } else { Pulse::None }
    }

    /// Whether anybody subscribes to a liveness channel.
    pub(super) fn is_heard(&self, alive: Uuid) -> bool {
        self.alive.get(&alive).is_some_and(|channel| channel.receiver_count() > 0)
    }

    /// What stands in the record of a leader with this liveness channel.
    pub(super) fn alive_field(&self, alive: Uuid) -> String {
        if self.is_heard(alive) { alive.to_string() } else { String::new() }
    }

    pub(super) fn reap(&mut self, suspect: &Record) -> bool {
        let dead = self.record.as_ref() == Some(suspect) && self.pulse(suspect) == Pulse::None;
        if dead {
            self.lease = None;
            let (term, replica) = (suspect.term, suspect.replica.clone());
            self.note(TimelineEntry {
                at: self.clock.now(),
                event: "reaped".into(),
                replica: replica.clone(),
                term,
                cause: String::new(),
                gap: 0,
            });
            self.announce(&Announcement::Reaped { term, replica });
        }
        dead
    }

    pub(super) fn announce(&self, announcement: &Announcement) {
        let message = serde_json::to_vec(announcement).unwrap_or_default();
        self.leadership.send(message.into()).ok();
    }

    pub(super) fn note(&mut self, entry: TimelineEntry) {
        self.timeline.push_front(entry);
        self.timeline.truncate(TIMELINE);
    }

    /// Tells why the claim of `lease` succeeds `previous`.
    pub(super) fn cause(&self, previous: Option<&Record>, lease: &str) -> Cause {
        let Some(previous) = previous else { return Cause::First };
        let last = self.timeline.front();
        let reaped = last.is_some_and(|e| e.event == "reaped" && e.term == previous.term);
        match &*previous.lease {
            claimed_with if claimed_with == lease => Cause::Restarted,
            "" => Cause::Released,
            _ if reaped => Cause::Crashed,
            _ => Cause::Expired,
        }
    }

    pub(super) fn claim(&mut self, request: &ClaimRequest) -> Option<Claim> {
        let moved = self.record.as_ref().is_none_or(|record| record.run_id != self.run_id);
        if request.reinstate && moved && self.lease().is_none() {
            self.hold(&request.lease, request.duration);
        }
        if !self.holds(&request.lease) {
            return None;
        }
        self.hold(&request.lease, request.duration);
        let now = self.clock.now();
        let lease = request.lease.to_string();
        let previous = self.record.take();
        let cause = self.cause(previous.as_ref(), &lease);
        let same_run = |record: &&Record| record.run_id == self.run_id;
        let record = match previous.as_ref().filter(same_run).filter(|old| old.lease == lease) {
            // Not where a higher term was seen elsewhere meanwhile: readers wait for one above it.
            Some(repeated) if repeated.term > request.seen => repeated.clone(),
            _ => {
                let stored = previous.as_ref().map_or(0, |record| record.term);
                let term = stored.max(request.seen).saturating_add(1).max(now);
                // A store that is behind what was seen elsewhere has lost publications.
                let kept = previous.as_ref().filter(same_run).filter(|_| request.seen <= stored);
                Record {
                    term,
                    lease,
                    sequence: 0,
                    base: kept.map_or(term, |record| record.base),
                    run_id: self.run_id.clone(),
                    alive: self.alive_field(request.alive),
                    replica: request.replica.clone(),
                    address: request.address.clone(),
                    since: now,
                }
            }
        };
        let Record { term, sequence, base, .. } = record;
        let repeated = previous.is_some_and(|previous| previous.term == term);
        self.record = Some(record);
        if !repeated {
            let replica = request.replica.clone();
            let gap = millis(request.gap);
            let (event, reason) = ("claimed".into(), cause.as_str().into());
            self.note(TimelineEntry { at: now, event, replica, term, cause: reason, gap });
            self.announce(&Announcement::Claimed { term, replica: request.replica.clone() });
        }
        Some(Claim {
            lease: request.lease.clone(),
            duration: request.duration,
            replica: request.replica.clone(),
            term,
            sequence,
            base,
            run_id: self.run_id.clone(),
            now,
            cause,
        })
    }

    pub(super) fn release(&mut self, claim: &Claim, reason: ReleaseReason) -> bool {
        let held = self.holds(&claim.lease);
        if held {
            self.lease = None;
        }
        if self.is_recorded(claim) {
            if let Some(record) = &mut self.record {
                record.lease.clear();
                record.alive.clear();
            }
            let (term, replica) = (claim.term, claim.replica.clone());
            self.note(TimelineEntry {
                at: self.clock.now(),
                event: "released".into(),
                replica: replica.clone(),
                term,
                cause: reason.as_str().into(),
                gap: 0,
            });
            self.announce(&Announcement::Released { term, replica });
        }
        held
    }

    pub(super) fn publish(
        &mut self,
        claim: &Claim,
        batch: &Batch,
    ) -> Result<Published, StoreError> {
        let as_left = self.is_recorded(claim)
            && self.record.as_ref().is_some_and(|record| record.sequence == batch.after);
        if !as_left {
            let found = self.record.as_ref().map(|record| Standing {
                term: record.term,
                lease: record.lease.clone(),
                sequence: record.sequence,
            });
            return Ok(Published::Fenced(found));
        }
        let late = batch.beat.as_ref().is_some_and(|beat| self.clock.now() > beat.until);
        if late && !batch.has_versions() {
            let message = "this beat is too old to be passed on".to_owned();
            return Err(StoreError { kind: FailureKind::Other, message });
        }
        for item in &batch.items {
            let stored = self.endpoints.entry(item.publication.endpoint.clone()).or_default();
            stored.snapshot = Some(item.publication.clone());
            stored.state = Some(item.state.clone());
            stored.kept_until = None;
            self.updates.send(item.publication.json().clone()).ok();
            if batch.history > 0 {
                self.history.push_front(item.publication.clone());
                self.history.truncate(usize::try_from(batch.history).unwrap_or(usize::MAX));
            }
        }
        for (endpoint, state) in &batch.states {
            self.endpoints.entry(endpoint.clone()).or_default().state = Some(state.clone());
        }
        for (endpoint, at) in &batch.checked {
            self.endpoints.entry(endpoint.clone()).or_default().checked_at = Some(*at);
        }
        for gone in &batch.gone {
            self.forget(&gone.endpoint);
            self.updates.send(gone.json()).ok();
        }
        if let Some(record) = &mut self.record {
            record.sequence = batch.last();
        }
        if let Some(beat) = batch.beat.as_ref().filter(|_| !late) {
            self.updates.send(beat.json.clone()).ok();
        }
        Ok(Published::Accepted)
    }

    /// Forgets what is known of an endpoint that is gone, but for the snapshot, which is kept on.
    fn forget(&mut self, endpoint: &EndpointName) {
        let now = Instant::now();
        self.endpoints.retain(|_, stored| stored.kept_until.is_none_or(|until| until > now));
        if let Some(stored) = self.endpoints.get_mut(endpoint) {
            let snapshot = stored.snapshot.take();
            let kept_until = Some(now + GONE_EXPIRY);
            *stored = Stored { snapshot, kept_until, ..Stored::default() };
        }
    }

    /// Forgets the replicas long gone; the others.
    pub(super) fn present(&mut self) -> Vec<Presence> {
        let now = self.clock.now();
        self.replicas.retain(|_, presence| now - presence.seen_at <= millis(PRESENCE_EXPIRY));
        self.replicas.values().cloned().collect()
    }

    pub(super) fn read(&self, endpoints: &[EndpointName]) -> Reading {
        let now = self.clock.now();
        let is_kept =
            |stored: &Stored| stored.kept_until.is_none_or(|until| until > Instant::now());
        let stored = || {
            let found = endpoints.iter().filter_map(|name| self.endpoints.get_key_value(name));
            found.filter(|(_, stored)| is_kept(stored))
        };
        let age = |at: u64| Duration::from_millis(now.saturating_sub(at));
        Reading {
            version: self.record.as_ref().map(Record::version).unwrap_or_default(),
            snapshots: stored().filter_map(|(_, stored)| stored.snapshot.clone()).collect(),
            ages: stored()
                .filter_map(|(name, stored)| Some((name.clone(), age(stored.checked_at?))))
                .collect(),
        }
    }
}
