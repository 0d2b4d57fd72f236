//! A leader's batches: composed one after the other, sent until they took effect.

use crate::cluster::{Cluster, State};
use crate::replica::{Leadership, Role};
use crate::safeguards::Safeguard;
use crate::server::{Batch, Payload};

/// The one batch in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sending {
    pub payload: Payload,
    pub sent_before: bool,
    /// Whether it was sent, and the answer is waited for.
    pub awaited: bool,
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
            self.ghost.out_of_order |= effect.out_of_order;
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
}
