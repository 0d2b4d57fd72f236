//! A replica: standby, candidate and leader, one step at a time.

use crate::cluster::{Cluster, State};
use crate::safeguards::Safeguard;
use crate::server::{Batch, Body, ClaimRequest, LeaseValue, Payload, Record, RunId, Server, Term};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    pub role: Role,
    pub frozen: bool,
    /// The highest term seen.
    pub seen: Term,
    /// The server at the other end of the connection for the lease.
    pub lease_link: Option<usize>,
    /// The server at the other end of the connection for publications.
    pub publish_link: Option<usize>,
    pub liveness: Liveness,
    pub suspicion: Option<Suspicion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Standby,
    /// Has a lease and no claim, or none on this server.
    Acquired {
        lease: LeaseValue,
        reinstate: bool,
    },
    Leading(Leadership),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leadership {
    pub term: Term,
    pub lease: LeaseValue,
    pub run_id: RunId,
    pub base: Term,
    /// The last sequence that took effect, as far as it knows.
    pub sequence: u8,
    /// How many beats it has composed.
    pub beats: u8,
    /// Whether it has read what the last leader left.
    pub resumed: bool,
    /// The body it polled last, or found in the store; 0: to be published whatever it is.
    pub known: Body,
    /// A change that waits for the batch before it.
    pub outbox: Option<Body>,
    pub sending: Option<Sending>,
}

/// The one batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sending {
    pub payload: Payload,
    pub sent_before: bool,
    /// Whether it was sent, and the answer is waited for.
    pub awaited: bool,
}

/// The connection of the liveness channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Liveness {
    Closed,
    Open(usize),
    /// Lost. What is awake is back within 50 ms, unless that took `long`er.
    Away {
        long: bool,
    },
}

/// What a probe saw of a leader whose liveness channel nobody subscribes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspicion {
    pub server: usize,
    pub run_id: RunId,
    pub term: Term,
    pub lease: LeaseValue,
    pub sequence: u8,
    pub confirmed: bool,
}

/// A batch on its way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flight {
    pub server: usize,
    pub batch: Batch,
    /// The replica that waits for the answer.
    pub awaited_by: Option<usize>,
    /// The date of its beat has passed.
    pub late: bool,
}

impl Replica {
    /// A process that has just started.
    pub const NEW: Self = Self {
        role: Role::Standby,
        frozen: false,
        seen: 0,
        lease_link: None,
        publish_link: None,
        liveness: Liveness::Closed,
        suspicion: None,
    };

    /// The lease that it believes to hold.
    pub fn lease(&self) -> Option<LeaseValue> {
        match self.role {
            Role::Standby => None,
            Role::Acquired { lease, .. } => Some(lease),
            Role::Leading(leadership) => Some(leadership.lease),
        }
    }
}

impl Suspicion {
    /// Whether the record is still as the first probe saw it.
    fn is_of(&self, record: Option<Record>) -> bool {
        record.is_some_and(|record| {
            (record.term, record.lease, record.sequence)
                == (self.term, self.lease, self.sequence)
                && record.alive
        })
    }
}

impl Leadership {
    fn batch(&self, sending: &Sending) -> Batch {
        Batch {
            term: self.term,
            lease: self.lease,
            after: self.sequence,
            beat: self.beats,
            payload: sending.payload,
        }
    }

    /// Goes on after a batch that took effect.
    fn accepted(&mut self, batch: &Batch) {
        self.sequence = batch.last();
        self.sending = None;
    }

    /// The next batch, if there is something to send.
    fn compose(&mut self) -> Option<Sending> {
        if self.sending.is_none() {
            let body = self.outbox.take()?;
            let payload = Payload::Publication(body);
            self.sending = Some(Sending { payload, sent_before: false, awaited: false });
        }
        self.sending.filter(|sending| !sending.awaited)
    }
}

impl State {
    /// The server that the lease's connection leads to; a new one leads to the address.
    fn lease_link(&mut self, r: usize) -> usize {
        *self.replicas[r].lease_link.get_or_insert(self.address)
    }

    fn publish_link(&mut self, r: usize) -> usize {
        *self.replicas[r].publish_link.get_or_insert(self.address)
    }

    /// `PUBSUB NUMSUB` of the liveness channel of an acquisition.
    fn is_subscribed(&self, lease: LeaseValue, server: usize) -> bool {
        let subscribes = |replica: &Replica| {
            replica.lease() == Some(lease) && replica.liveness == Liveness::Open(server)
        };
        self.replicas.iter().any(subscribes)
    }

    /// Reads the record, or hears of it: notes the term; ends a leadership that is superseded.
    pub fn observe(&mut self, r: usize) {
        let server = self.replicas[r].lease_link.unwrap_or(self.address);
        let Some(record) = self.servers[server].data.record else { return };
        if record.term <= self.replicas[r].seen {
            return;
        }
        self.replicas[r].lease_link = Some(server);
        self.replicas[r].seen = record.term;
        self.end_fenced(r);
    }

    /// Subscribes to a fresh liveness channel and takes the lease if it is free.
    pub fn acquire(&mut self, model: &Cluster, r: usize) {
        let observed = self.replicas[r].lease_link.unwrap_or(self.address);
        let held = |server: usize| self.servers[server].data.lease != 0;
        if self.replicas[r].role != Role::Standby || held(observed) || held(self.address) {
            return;
        }
        self.lease_link(r);
        self.observe(r);
        self.next_lease += 1;
        let lease = self.next_lease;
        self.servers[self.address].data.lease = lease;
        let replica = &mut self.replicas[r];
        replica.role = Role::Acquired { lease, reinstate: false };
        if model.bounds.probing() {
            replica.liveness = Liveness::Open(self.address);
        }
        replica.suspicion = None;
    }

    /// Claims the acquired lease. `answered`: the answer arrives.
    pub fn claim(&mut self, model: &Cluster, r: usize, answered: bool) {
        let Role::Acquired { lease, reinstate } = self.replicas[r].role else { return };
        let server = self.lease_link(r);
        let seen = self.replicas[r].seen;
        let alive = self.is_subscribed(lease, server);
        let time = self.ghost.top + 1;
        let before = self.servers[server].data.record;
        let request = ClaimRequest { lease, seen, reinstate, alive, time };
        let claimed = self.servers[server].claim(&request, model.safeguards);
        if let Some(record) = claimed.filter(|_| claimed != before) {
            // The exception: the clock is behind, and neither the record nor the replica knows
            // the last term. Readers wait until terms have passed it.
            let stored = before.map_or(0, |record| record.term);
            self.ghost.excused = self.servers[server].behind && stored.max(seen) < self.ghost.top;
            self.ghost.top = self.ghost.top.max(record.term);
        }
        if !answered {
            self.replicas[r].lease_link = None;
            return;
        }
        let Some(record) = claimed else {
            self.replicas[r].lease_link = None;
            return self.stand_by(r);
        };
        let checked = model.safeguards.has(Safeguard::SpentTerm)
            && model.safeguards.has(Safeguard::HighestSeen);
        if checked && record.term <= seen {
            self.servers[server].release(record.term, lease);
            return self.stand_by(r);
        }
        self.ghost.lead(record.term, lease, record.run_id);
        let replica = &mut self.replicas[r];
        replica.seen = seen.max(record.term);
        replica.role = Role::Leading(Leadership {
            term: record.term,
            lease,
            run_id: record.run_id,
            base: record.base,
            sequence: record.sequence,
            beats: 0,
            resumed: false,
            known: 0,
            outbox: None,
            sending: None,
        });
    }

    /// Renews, and notes in the record whether the liveness channel is subscribed to.
    pub fn renew(&mut self, model: &Cluster, r: usize) {
        let Role::Leading(leadership) = self.replicas[r].role else { return };
        let Leadership { term, lease, run_id, .. } = leadership;
        let server = self.lease_link(r);
        if model.safeguards.has(Safeguard::RunId) && self.servers[server].run_id != run_id {
            return self.claim_anew(r);
        }
        if self.servers[server].data.lease != lease {
            return self.stand_by(r);
        }
        let alive = self.is_subscribed(lease, server);
        if let Some(record) = self.servers[server].recorded(term, lease) {
            record.alive = alive;
        }
    }

    /// Reads what the last leader left: nothing that is older than the base counts.
    pub fn resume(&mut self, model: &Cluster, r: usize) {
        let server = self.publish_link(r);
        let snapshot = self.servers[server].data.snapshot;
        let Role::Leading(leadership) = &mut self.replicas[r].role else { return };
        let old = snapshot.version.term < leadership.base;
        leadership.resumed = true;
        leadership.known =
            if old && model.safeguards.has(Safeguard::Base) { 0 } else { snapshot.body };
    }

    /// Asks the backend; a change waits in the outbox.
    pub fn poll(&mut self, r: usize) {
        let backend = self.backend;
        let Role::Leading(leadership) = &mut self.replicas[r].role else { return };
        if leadership.known != backend {
            leadership.known = backend;
            leadership.outbox = Some(backend);
        }
    }

    /// What comes of a beat that is refused; one that is not changes nothing.
    pub fn beat_in_vain(&mut self, model: &Cluster, r: usize) {
        let Role::Leading(leadership) = self.replicas[r].role else { return };
        if leadership.sending.is_some() || leadership.outbox.is_some() {
            return;
        }
        let payload = Payload::Beat { checks: false };
        let batch = leadership.batch(&Sending { payload, sent_before: false, awaited: false });
        let server = self.publish_link(r);
        if model.safeguards.has(Safeguard::RunId)
            && self.servers[server].run_id != leadership.run_id
        {
            self.claim_anew(r);
        } else if !self.servers[server].accepts(&batch, model.safeguards) {
            self.give_back(r);
        }
    }

    /// Makes a beat of a check without a change. By then the dates of those before have passed.
    pub fn beat(&mut self, r: usize) -> bool {
        let Role::Leading(leadership) = &mut self.replicas[r].role else { return false };
        if leadership.sending.is_some() || leadership.outbox.is_some() || !leadership.resumed {
            return false;
        }
        leadership.beats += 1;
        let payload = Payload::Beat { checks: true };
        leadership.sending = Some(Sending { payload, sent_before: false, awaited: false });
        let own = |flight: &&mut Flight| {
            (flight.batch.term, flight.batch.lease) == (leadership.term, leadership.lease)
        };
        self.flights.iter_mut().filter(own).for_each(|flight| flight.late = true);
        self.flights.sort_unstable();
        true
    }

    /// Sends the batch, or again what had no answer, unless the record tells that it went in.
    pub fn send(&mut self, model: &Cluster, r: usize) {
        let Role::Leading(mut leadership) = self.replicas[r].role else { return };
        let Some(sending) = leadership.compose() else { return };
        let batch = leadership.batch(&sending);
        if sending.sent_before {
            let observed = self.lease_link(r);
            if self.went_in(observed, &batch) {
                leadership.accepted(&batch);
                self.replicas[r].role = Role::Leading(leadership);
                return;
            }
        }
        let server = self.publish_link(r);
        let other = self.servers[server].run_id != leadership.run_id;
        if model.safeguards.has(Safeguard::RunId) && other {
            return self.claim_anew(r);
        }
        leadership.sending = Some(Sending { awaited: true, ..sending });
        self.replicas[r].role = Role::Leading(leadership);
        self.flights.push(Flight { server, batch, awaited_by: Some(r), late: false });
        self.flights.sort_unstable();
    }

    /// Whether the record is where a batch with a publication would have left it.
    fn went_in(&self, server: usize, batch: &Batch) -> bool {
        self.servers[server].data.record.is_some_and(|record| {
            record.term == batch.term
                && record.lease == batch.lease
                && batch.after != batch.last()
                && record.sequence == batch.last()
        })
    }

    /// The answer to the batch in flight does not come: its connection is given up.
    pub fn time_out(&mut self, r: usize) {
        let Role::Leading(leadership) = &mut self.replicas[r].role else { return };
        let Some(sending) = leadership.sending.as_mut().filter(|sending| sending.awaited) else {
            return;
        };
        sending.awaited = false;
        sending.sent_before = true;
        if let Payload::Beat { checks } = &mut sending.payload {
            *checks = false;
        }
        self.replicas[r].publish_link = None;
        self.forget_flights(r);
    }

    /// A batch arrives, awaited or late.
    pub fn arrive(&mut self, model: &Cluster, at: usize) {
        let Flight { server, batch, awaited_by, late } = self.flights.remove(at);
        let effect = self.servers[server].publish(&batch, late, model.safeguards);
        let accepted = effect.is_some();
        if let Some(effect) = effect {
            self.ghost.out_of_order |= effect.out_of_order && !self.ghost.excused;
            self.ghost.late_beat |= effect.late_beat;
            for gateway in self.gateways.iter_mut().filter(|gateway| gateway.listens_to(server)) {
                gateway.queue.extend(effect.published);
            }
        }
        let Some(r) = awaited_by else { return };
        let went_in = self.went_in(server, &batch);
        let Role::Leading(leadership) = &mut self.replicas[r].role else { return };
        let sent_before = leadership.sending.is_some_and(|sending| sending.sent_before);
        if accepted || (sent_before && went_in) {
            leadership.accepted(&batch);
        } else {
            self.give_back(r);
        }
    }

    /// Another server answers: the same lease claims again there.
    fn claim_anew(&mut self, r: usize) {
        let Some(lease) = self.replicas[r].lease() else { return };
        self.forget_flights(r);
        let replica = &mut self.replicas[r];
        replica.role = Role::Acquired { lease, reinstate: true };
        replica.lease_link = None;
        replica.publish_link = None;
    }

    fn end_fenced(&mut self, r: usize) {
        if let Role::Leading(leadership) = self.replicas[r].role
            && leadership.term < self.replicas[r].seen
        {
            self.give_back(r);
        }
    }

    /// Gives the lease back and stands by.
    pub fn give_back(&mut self, r: usize) {
        let Role::Leading(Leadership { term, lease, .. }) = self.replicas[r].role else { return };
        let server = self.lease_link(r);
        self.servers[server].release(term, lease);
        self.stand_by(r);
    }

    fn stand_by(&mut self, r: usize) {
        self.forget_flights(r);
        self.replicas[r].role = Role::Standby;
        self.replicas[r].liveness = Liveness::Closed;
    }

    /// Nobody waits for the answers any more.
    fn forget_flights(&mut self, r: usize) {
        for flight in self.flights.iter_mut().filter(|flight| flight.awaited_by == Some(r)) {
            flight.awaited_by = None;
        }
        self.flights.sort_unstable();
    }

    /// The process is gone, and another starts in its place. What it sent may still arrive.
    pub fn crash(&mut self, r: usize) {
        self.forget_flights(r);
        self.replicas[r] = Replica::NEW;
    }

    /// Asks whether the leader lives; a first answer of 0 is noted.
    pub fn probe(&mut self, r: usize) {
        if self.replicas[r].role != Role::Standby || self.replicas[r].suspicion.is_some() {
            return;
        }
        let server = self.replicas[r].lease_link.unwrap_or(self.address);
        let Some(record) = self.servers[server].data.record else { return };
        let claimed_here = record.run_id == self.servers[server].run_id && record.alive;
        let held = self.servers[server].data.lease == record.lease && record.lease != 0;
        if claimed_here && held && !self.is_subscribed(record.lease, server) {
            let Record { term, lease, sequence, run_id, .. } = record;
            let suspicion = Suspicion { server, run_id, term, lease, sequence, confirmed: false };
            let replica = &mut self.replicas[r];
            replica.seen = replica.seen.max(term);
            replica.lease_link = Some(server);
            replica.suspicion = Some(suspicion);
        }
    }

    /// The awake replica that holds a lease.
    pub fn holder(&self, lease: LeaseValue) -> Option<&Replica> {
        self.replicas.iter().find(|replica| !replica.frozen && replica.lease() == Some(lease))
    }

    /// Asks again, 50 ms after the first answer: by then who was away for a moment is back.
    pub fn confirm(&mut self, r: usize) {
        let Some(suspicion) = self.replicas[r].suspicion else { return };
        let back_soon = |holder: &Replica| holder.liveness == Liveness::Away { long: false };
        if suspicion.confirmed || self.holder(suspicion.lease).is_some_and(back_soon) {
            return;
        }
        let same = suspicion.is_of(self.servers[suspicion.server].data.record);
        let silent = same && !self.is_subscribed(suspicion.lease, suspicion.server);
        self.replicas[r].suspicion = silent.then_some(Suspicion { confirmed: true, ..suspicion });
    }

    /// Deletes the lease of a leader that is gone, in one script.
    pub fn reap(&mut self, model: &Cluster, r: usize) {
        let Some(suspicion) = self.replicas[r].suspicion else { return };
        if model.safeguards.has(Safeguard::Confirmation) && !suspicion.confirmed {
            return;
        }
        self.replicas[r].suspicion = None;
        let server = suspicion.server;
        let Server { run_id, data, .. } = self.servers[server];
        let same = data.lease == suspicion.lease && suspicion.is_of(data.record);
        let subscribed = self.is_subscribed(suspicion.lease, server);
        let refused = run_id != suspicion.run_id
            || (model.safeguards.has(Safeguard::ReapCompares) && !same)
            || (model.safeguards.has(Safeguard::LastQuestion) && subscribed);
        if refused || data.lease == 0 {
            return;
        }
        let there = |holder: &Replica| match holder.liveness {
            Liveness::Open(open) => open == server,
            Liveness::Away { long } => !long,
            Liveness::Closed => false,
        };
        self.ghost.flapped |= self.holder(data.lease).is_some_and(there);
        self.servers[server].data.lease = 0;
    }
}
