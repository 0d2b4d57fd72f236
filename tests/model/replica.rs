//! A replica and its claim: how a leadership begins, lasts and ends.

use crate::cluster::{Cluster, State};
use crate::publisher::Sending;
use crate::safeguards::Safeguard;
use crate::server::{Body, ClaimRequest, LeaseValue, RunId, Term};
use crate::standby::Suspicion;

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

impl State {
    /// The server that the lease's connection leads to; a new one leads to the address.
    pub fn lease_link(&mut self, r: usize) -> usize {
        *self.replicas[r].lease_link.get_or_insert(self.address)
    }

    pub fn publish_link(&mut self, r: usize) -> usize {
        *self.replicas[r].publish_link.get_or_insert(self.address)
    }

    /// `PUBSUB NUMSUB` of the liveness channel of an acquisition.
    pub fn is_subscribed(&self, lease: LeaseValue, server: usize) -> bool {
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
            // the last term. Readers wait until something is published above it.
            let stored = before.map_or(0, |record| record.term);
            if self.servers[server].behind && stored.max(seen) < self.ghost.top {
                self.servers[server].data.excused = self.ghost.top;
            }
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

    /// Another server answers: the same lease claims again there.
    pub fn claim_anew(&mut self, r: usize) {
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
    pub fn forget_flights(&mut self, r: usize) {
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
}
