use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    ACQUISITION, Batch, Cause, Channel, Claim, ClaimRequest, Examination, LeaseValue, Observation,
    PRESENCE_EXPIRY, PollState, Presence, Published, Pulse, Reading, Renewal, Resumed, Standing,
    Store, StoreError, Subscription, Survey, TIMELINE, TimelineEntry,
};
use crate::model::{Announcement, EndpointName, Publication, Record};

/// How many messages a subscriber may lag behind before its subscription ends.
const BACKLOG: usize = 1024;

/// A store in the memory of one process, with the semantics of Redis.
///
/// It serves a single process without redundancy, the demonstration, and tests: its time is
/// tokio's, which a test can pause. Clones share one store.
#[derive(Clone)]
pub struct EmbeddedStore {
    state: Arc<Mutex<State>>,
}

struct State {
    run_id: String,
    clock: StoreClock,
    lease: Option<Lease>,
    record: Option<Record>,
    endpoints: HashMap<EndpointName, Stored>,
    replicas: BTreeMap<String, Presence>,
    timeline: VecDeque<TimelineEntry>,
    updates: broadcast::Sender<Bytes>,
    leadership: broadcast::Sender<Bytes>,
    /// The liveness channels that are, or were, subscribed to.
    alive: HashMap<Uuid, broadcast::Sender<Bytes>>,
}

/// What one server holds.
#[cfg(test)]
#[derive(Clone)]
pub(crate) struct Server {
    run_id: String,
    lease: Option<Lease>,
    record: Option<Record>,
    endpoints: HashMap<EndpointName, Stored>,
}

#[cfg_attr(test, derive(Clone))]
struct Lease {
    value: LeaseValue,
    until: Instant,
}

#[derive(Default)]
#[cfg_attr(test, derive(Clone))]
struct Stored {
    snapshot: Option<Publication>,
    state: Option<PollState>,
    checked_at: Option<u64>,
}

/// Wall-clock time that goes on with tokio's clock, so that it stands still when that is paused.
struct StoreClock {
    start: Instant,
    start_ms: u64,
}

impl StoreClock {
    #[expect(clippy::disallowed_methods, reason = "within one process it is the store's time")]
    fn new() -> Self {
        let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self { start: Instant::now(), start_ms: millis(wall.unwrap_or_default()) }
    }

    fn now(&self) -> u64 {
        self.start_ms + millis(self.start.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())) }
    }

    /// Loses everything but the time, as a Redis that restarts without persistence.
    #[cfg(test)]
    pub(crate) fn restart_empty(&self) {
        let mut state = self.state.lock();
        let fresh = State::new();
        let clock = std::mem::replace(&mut *state, fresh).clock;
        state.clock = clock;
    }

    /// Brings a server back as it was before another took its place.
    #[cfg(test)]
    pub(crate) fn fail_back(&self, to: Server) {
        let mut state = self.state.lock();
        state.run_id = to.run_id;
        state.lease = to.lease;
        state.record = to.record;
        state.endpoints = to.endpoints;
        state.updates = broadcast::Sender::new(BACKLOG);
        state.leadership = broadcast::Sender::new(BACKLOG);
        state.alive.clear();
    }

    /// The server as it is, for [`EmbeddedStore::fail_back`].
    #[cfg(test)]
    pub(crate) fn server(&self) -> Server {
        let state = self.state.lock();
        Server {
            run_id: state.run_id.clone(),
            lease: state.lease.clone(),
            record: state.record.clone(),
            endpoints: state.endpoints.clone(),
        }
    }

    /// Sets the server's clock, so that nothing depends on when a test runs.
    #[cfg(test)]
    pub(crate) fn set_clock(&self, ms: u64) {
        self.state.lock().clock = StoreClock { start: Instant::now(), start_ms: ms };
    }

    /// Turns the server's clock back, as one that was set wrong.
    #[cfg(test)]
    pub(crate) fn turn_clock_back(&self, by: Duration) {
        self.state.lock().clock.start_ms -= millis(by);
    }

    /// Goes on with the same data under another run id, as a promoted replica.
    #[cfg(test)]
    pub(crate) fn fail_over(&self) {
        self.promote(self.server());
    }

    /// Goes on as a copy of the server, with what that has and under another run id.
    #[cfg(test)]
    pub(crate) fn promote(&self, copy: Server) {
        self.fail_back(Server { run_id: State::new().run_id, ..copy });
    }

    /// Takes the lease away from whoever holds it.
    #[cfg(test)]
    pub(crate) fn evict_lease(&self) {
        self.state.lock().lease = None;
    }
}

impl State {
    fn new() -> Self {
        Self {
            run_id: Uuid::new_v4().simple().to_string(),
            clock: StoreClock::new(),
            lease: None,
            record: None,
            endpoints: HashMap::new(),
            replicas: BTreeMap::new(),
            timeline: VecDeque::new(),
            updates: broadcast::Sender::new(BACKLOG),
            leadership: broadcast::Sender::new(BACKLOG),
            alive: HashMap::new(),
        }
    }

    /// The lease, if it has not ended.
    fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref().filter(|lease| lease.until > Instant::now())
    }

    fn holds(&self, value: &LeaseValue) -> bool {
        self.lease().is_some_and(|lease| lease.value == *value)
    }

    fn hold(&mut self, value: &LeaseValue, duration: Duration) {
        self.lease = Some(Lease { value: value.clone(), until: Instant::now() + duration });
    }

    /// Whether the record is this claim's.
    fn is_recorded(&self, claim: &Claim) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.term == claim.term && record.lease == claim.lease.to_string()
        })
    }

    fn observe(&self) -> Observation {
        Observation {
            held_for: self.lease().map(|lease| lease.until - Instant::now()),
            record: self.record.clone(),
            run_id: self.run_id.clone(),
            pulse: self.record.as_ref().map_or(Pulse::Unknown, |record| self.pulse(record)),
        }
    }

    /// Whether the leader in `record` is still subscribed to its liveness channel.
    fn pulse(&self, record: &Record) -> Pulse {
        let recorded = self.lease().is_some_and(|lease| lease.value.to_string() == record.lease);
        if !recorded || record.alive.is_empty() || record.run_id != self.run_id {
            return Pulse::Unknown;
        }
        let heard = Uuid::parse_str(&record.alive).is_ok_and(|alive| self.is_heard(alive));
        if heard { Pulse::Felt } else { Pulse::None }
    }

    /// Whether anybody subscribes to a liveness channel.
    fn is_heard(&self, alive: Uuid) -> bool {
        self.alive.get(&alive).is_some_and(|channel| channel.receiver_count() > 0)
    }

    /// What stands in the record of a leader with this liveness channel.
    fn alive_field(&self, alive: Uuid) -> String {
        if self.is_heard(alive) { alive.to_string() } else { String::new() }
    }

    fn reap(&mut self, suspect: &Record) -> bool {
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

    fn announce(&self, announcement: &Announcement) {
        let message = serde_json::to_vec(announcement).unwrap_or_default();
        self.leadership.send(message.into()).ok();
    }

    fn note(&mut self, entry: TimelineEntry) {
        self.timeline.push_front(entry);
        self.timeline.truncate(TIMELINE);
    }

    /// Tells why the claim of `lease` succeeds `previous`.
    fn cause(&self, previous: Option<&Record>, lease: &str) -> Cause {
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

    fn claim(&mut self, request: &ClaimRequest) -> Option<Claim> {
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
            Some(repeated) => repeated.clone(),
            None => {
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

    fn release(&mut self, claim: &Claim) -> bool {
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
                cause: String::new(),
                gap: 0,
            });
            self.announce(&Announcement::Released { term, replica });
        }
        held
    }

    fn publish(&mut self, claim: &Claim, batch: &Batch) -> Published {
        let as_left = self.is_recorded(claim)
            && self.record.as_ref().is_some_and(|record| record.sequence == batch.after);
        if !as_left {
            return Published::Fenced(self.record.as_ref().map(|record| Standing {
                term: record.term,
                lease: record.lease.clone(),
                sequence: record.sequence,
            }));
        }
        for item in &batch.items {
            let stored = self.endpoints.entry(item.publication.endpoint.clone()).or_default();
            stored.snapshot = Some(item.publication.clone());
            stored.state = Some(item.state.clone());
            self.updates.send(item.publication.json().clone()).ok();
        }
        for (endpoint, state) in &batch.states {
            self.endpoints.entry(endpoint.clone()).or_default().state = Some(state.clone());
        }
        for (endpoint, at) in &batch.checked {
            self.endpoints.entry(endpoint.clone()).or_default().checked_at = Some(*at);
        }
        if let Some(record) = &mut self.record {
            record.sequence = batch.last();
        }
        if let Some(beat) = batch.beat.as_ref().filter(|beat| self.clock.now() <= beat.until) {
            self.updates.send(beat.json.clone()).ok();
        }
        Published::Accepted
    }

    /// Forgets the replicas long gone; the others.
    fn present(&mut self) -> Vec<Presence> {
        let now = self.clock.now();
        self.replicas.retain(|_, presence| now - presence.seen_at <= millis(PRESENCE_EXPIRY));
        self.replicas.values().cloned().collect()
    }

    fn read(&self, endpoints: &[EndpointName]) -> Reading {
        let now = self.clock.now();
        let stored = || endpoints.iter().filter_map(|name| self.endpoints.get_key_value(name));
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

#[async_trait]
impl Store for EmbeddedStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        Ok(self.state.lock().observe())
    }

    async fn acquire(&self) -> Option<LeaseValue> {
        let mut state = self.state.lock();
        let value = LeaseValue::new(
            [Uuid::new_v4(), Uuid::new_v4()]
                .iter()
                .flat_map(|id| *id.as_bytes())
                .take(20)
                .collect(),
        );
        let free = state.lease().is_none();
        free.then(|| {
            state.hold(&value, ACQUISITION);
            value
        })
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, StoreError> {
        Ok(self.state.lock().claim(request))
    }

    async fn renew(&self, claim: &Claim, alive: Uuid) -> Result<Renewal, StoreError> {
        let mut state = self.state.lock();
        if state.run_id != claim.run_id {
            return Ok(Renewal::OtherServer);
        }
        if !state.holds(&claim.lease) {
            return Ok(Renewal::Lost);
        }
        state.hold(&claim.lease, claim.duration);
        if let Some(channel) = state.alive.get(&alive) {
            channel.send(Bytes::new()).ok();
        }
        let alive = state.alive_field(alive);
        if state.is_recorded(claim)
            && let Some(record) = &mut state.record
            && record.alive != alive
        {
            record.alive = alive;
            if !record.alive.is_empty() {
                let (term, replica) = (claim.term, claim.replica.clone());
                state.announce(&Announcement::Alive { term, replica });
            }
        }
        Ok(Renewal::Held { now: state.clock.now() })
    }

    async fn release(&self, claim: &Claim) -> Result<bool, StoreError> {
        Ok(self.state.lock().release(claim))
    }

    async fn reap(&self, suspect: &Record) -> Result<bool, StoreError> {
        Ok(self.state.lock().reap(suspect))
    }

    async fn request_step_down(&self, term: u64) -> Result<(), StoreError> {
        self.state.lock().announce(&Announcement::StepDown { term });
        Ok(())
    }

    async fn publish(&self, claim: &Claim, batch: &Batch) -> Result<Published, StoreError> {
        let mut state = self.state.lock();
        if state.run_id != claim.run_id {
            return Ok(Published::OtherServer);
        }
        Ok(state.publish(claim, batch))
    }

    async fn resume(&self, endpoints: &[EndpointName]) -> Result<Vec<Resumed>, StoreError> {
        let state = self.state.lock();
        let resumed = |name: &EndpointName| {
            let stored = state.endpoints.get(name)?;
            Some(Resumed {
                endpoint: name.clone(),
                state: stored.state.clone()?,
                checked_at: stored.checked_at,
            })
        };
        Ok(endpoints.iter().filter_map(resumed).collect())
    }

    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError> {
        Ok(self.state.lock().read(endpoints))
    }

    async fn subscribe(&self, channel: Channel) -> Result<Subscription, StoreError> {
        let mut state = self.state.lock();
        let receiver = match channel {
            Channel::Updates => state.updates.subscribe(),
            Channel::Leadership => state.leadership.subscribe(),
            Channel::Alive(id) => {
                state.alive.retain(|_, channel| channel.receiver_count() > 0);
                let channel = || broadcast::Sender::new(BACKLOG);
                state.alive.entry(id).or_insert_with(channel).subscribe()
            }
        };
        // A receiver that lags behind has missed messages: the subscription ends.
        let messages = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.ok().map(|message| (message, receiver))
        });
        Ok(Subscription::new(messages.boxed()))
    }

    async fn announce_presence(&self, presence: &Presence) -> Result<Vec<Presence>, StoreError> {
        let mut state = self.state.lock();
        let seen_at = state.clock.now();
        let known = Presence { seen_at, ..presence.clone() };
        state.replicas.insert(presence.replica.clone(), known);
        Ok(state.present())
    }

    async fn withdraw_presence(&self, replica: &str) -> Result<(), StoreError> {
        self.state.lock().replicas.remove(replica);
        Ok(())
    }

    async fn examine(&self, _: &EndpointName, _: bool) -> Result<Examination, StoreError> {
        Ok(Examination { now: self.state.lock().clock.now(), ..Examination::default() })
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let mut state = self.state.lock();
        Ok(Survey {
            now: state.clock.now(),
            observation: state.observe(),
            replicas: state.present(),
            timeline: state.timeline.iter().cloned().collect(),
        })
    }
}
