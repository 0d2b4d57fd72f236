//! A standby: takes a free lease, and takes it away from a leader that is gone.

use crate::cluster::{Cluster, State};
use crate::replica::{Liveness, Replica, Role};
use crate::safeguards::Safeguard;
use crate::server::{LeaseValue, Record, RunId, Server, Term};

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

impl Suspicion {
    /// Whether the record is still as the first probe saw it.
    fn is_of(&self, record: Option<Record>) -> bool {
        record.is_some_and(|record| {
            (record.term, record.lease, record.sequence) == (self.term, self.lease, self.sequence)
                && record.alive
        })
    }
}

impl State {
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
        // Who is back soon is back at the address.
        let there = |holder: &Replica| match holder.liveness {
            Liveness::Open(open) => open == server,
            Liveness::Away { long } => !long && server == self.address,
            Liveness::Closed => false,
        };
        self.ghost.flapped |= self.holder(data.lease).is_some_and(there);
        self.servers[server].data.lease = 0;
    }
}
