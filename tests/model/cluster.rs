//! The cluster as a whole: its state, its steps, and which of them are possible.

use stateright::{Model, Property};

use crate::faults::{Bounds, Fault};
use crate::properties::Guarantee;
use crate::publisher::Flight;
use crate::reader::{Client, Gateway};
use crate::replica::{Liveness, Replica, Role};
use crate::safeguards::Safeguards;
use crate::server::{Body, Data, LeaseValue, RunId, Server, Term};

/// A cluster of two replicas, and what is to be checked of it.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub safeguards: Safeguards,
    pub bounds: Bounds,
    pub gateways: usize,
    pub guarantees: Vec<Guarantee>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub servers: [Server; 2],
    /// The server that new connections lead to.
    pub address: usize,
    /// Whether the other server is its replica.
    pub other_follows: bool,
    pub replicas: [Replica; 2],
    /// Batches on their way, in no order.
    pub flights: Vec<Flight>,
    pub gateways: Vec<Gateway>,
    pub client: Client,
    pub backend: Body,
    pub next_lease: LeaseValue,
    pub last_run_id: RunId,
    pub left: Bounds,
    pub ghost: Ghost,
}

/// What nobody in the cluster knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    /// The highest term ever claimed.
    pub top: Term,
    /// Leaderships by term, lease and run id, of the leases that may be claimed with again.
    leaderships: Vec<(Term, LeaseValue, RunId)>,
    pub out_of_order: bool,
    pub went_back: bool,
    pub late_beat: bool,
    pub flapped: bool,
    pub twins: bool,
}

impl Ghost {
    /// Notes that a leadership begins.
    pub fn lead(&mut self, term: Term, lease: LeaseValue, run_id: RunId) {
        let leadership = (term, lease, run_id);
        if let Err(at) = self.leaderships.binary_search(&leadership) {
            self.leaderships.insert(at, leadership);
        }
        let same = |two: &[(Term, LeaseValue, RunId)]| (two[0].0, two[0].1) == (two[1].0, two[1].1);
        self.twins |= self.leaderships.windows(2).any(same);
    }
}

/// A connection of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Lease,
    Publish,
    Liveness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Observe(usize),
    Acquire(usize),
    Claim(usize),
    Renew(usize),
    Resume(usize),
    Poll(usize),
    /// A beat without checks: it changes nothing unless it is refused.
    Beat(usize),
    Send(usize),
    /// The batch at this place arrives.
    Arrive(usize),
    Resubscribe(usize),
    Probe(usize),
    Confirm(usize),
    Reap(usize),
    /// The connection to a server that was replaced ends.
    Disconnect(usize, Link),
    /// The lease on a server ends, for nobody renews it.
    LeaseEnds(usize),
    /// A gateway takes its next step.
    Follow(usize),
    /// A gateway's connection to a server that was replaced ends.
    Unfollow(usize),
    Fault(Fault),
}

impl Cluster {
    /// Every step that the cluster takes of itself.
    fn steps(&self, state: &State, steps: &mut Vec<Action>) {
        steps.extend((0..state.flights.len()).map(Action::Arrive));
        let twins = state.replicas[0] == state.replicas[1];
        let awake = |(r, replica): &(usize, &Replica)| !(replica.frozen || twins && *r > 0);
        for (r, replica) in state.replicas.iter().enumerate().filter(awake) {
            steps.push(Action::Observe(r));
            match replica.role {
                Role::Standby => {
                    steps.extend([Action::Acquire(r)]);
                    if self.bounds.probing() {
                        steps.extend([Action::Probe(r), Action::Confirm(r), Action::Reap(r)]);
                    }
                }
                Role::Acquired { .. } => steps.extend([Action::Claim(r), Action::Resubscribe(r)]),
                Role::Leading(leadership) => {
                    steps.extend([Action::Renew(r), Action::Resubscribe(r)]);
                    if leadership.resumed {
                        steps.extend([Action::Poll(r), Action::Beat(r), Action::Send(r)]);
                    } else {
                        steps.push(Action::Resume(r));
                    }
                }
            }
            let links = [Link::Lease, Link::Publish, Link::Liveness];
            steps.extend(links.map(|link| Action::Disconnect(r, link)));
        }
        steps.extend([0, 1].map(Action::LeaseEnds));
        steps.extend((0..self.gateways).flat_map(|g| [Action::Follow(g), Action::Unfollow(g)]));
    }

    /// Whether the cluster has nothing left to do: all was delivered, and no more will happen.
    pub fn is_settled(&self, state: &State) -> bool {
        if !state.flights.is_empty() {
            return false;
        }
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        steps.into_iter().all(|step| self.next_state(state, step).is_none())
    }
}

impl State {
    fn disconnect_link(&mut self, r: usize, link: Link) {
        let replaced = 1 - self.address;
        let replica = &mut self.replicas[r];
        match link {
            Link::Lease => {
                let Replica { lease_link, suspicion, .. } = replica;
                *lease_link = lease_link.filter(|to| *to != replaced);
                *suspicion = suspicion.filter(|suspicion| suspicion.server != replaced);
            }
            Link::Publish if replica.publish_link == Some(replaced) => {
                replica.publish_link = None;
                self.time_out(r);
            }
            Link::Liveness if replica.liveness == Liveness::Open(replaced) => {
                replica.liveness = Liveness::Away { long: false };
            }
            Link::Publish | Link::Liveness => {}
        }
    }

    /// A lease ends of itself unless an awake replica renews it on this server.
    fn end_lease(&mut self, server: usize) {
        let lease = self.servers[server].data.lease;
        let kept = self
            .holder(lease)
            .is_some_and(|holder| holder.lease_link.unwrap_or(self.address) == server);
        if !kept {
            self.servers[server].data.lease = 0;
        }
    }

    /// Forgets what can make no difference any more.
    fn forget(&mut self, model: &Cluster) {
        let Self { replicas, ghost, .. } = self;
        let held = |lease| replicas.iter().any(|replica| replica.lease() == Some(lease));
        ghost.leaderships.retain(|(_, lease, _)| held(*lease));
        if self.left.faults == 0 {
            let Bounds { changes, beats, .. } = self.left;
            self.left = Bounds { changes, beats, ..Bounds::NONE };
        }
        if model.bounds.gone || self.left.failovers == 0 {
            // No connection will be left behind: one to the address is as good as a new one.
            for replica in &mut self.replicas {
                let Replica { lease_link, publish_link, .. } = replica;
                for link in [lease_link, publish_link] {
                    *link = link.filter(|to| *to != self.address);
                }
            }
        }
        if self.left.failovers == 0 && !self.is_reachable(1 - self.address) {
            self.servers[1 - self.address] =
                Server { run_id: 0, behind: false, data: Data::default() };
        }
        self.renumber_leases();
    }

    /// Whether anybody is connected to a server, or a batch is on its way there.
    fn is_reachable(&self, server: usize) -> bool {
        self.flights.iter().any(|flight| flight.server == server)
            || self.gateways.iter().any(|gateway| gateway.listens_to(server))
            || self.replicas.iter().any(|replica| {
                [replica.lease_link, replica.publish_link].contains(&Some(server))
                    || replica.liveness == Liveness::Open(server)
                    || replica.suspicion.is_some_and(|suspicion| suspicion.server == server)
            })
    }

    /// The same for all states that differ only in which replica is which.
    pub fn representative(&self) -> Self {
        let mut state = self.clone();
        if state.replicas[0] > state.replicas[1] {
            state.replicas.swap(0, 1);
            for flight in &mut state.flights {
                flight.awaited_by = flight.awaited_by.map(|r| 1 - r);
            }
            state.renumber_leases();
        }
        state
    }

    /// Numbers the leases from 1 on: only which are the same matters.
    fn renumber_leases(&mut self) {
        let mut order = vec![0];
        self.each_lease(|lease| {
            if !order.contains(lease) {
                order.push(*lease);
            }
        });
        self.each_lease(|lease| {
            *lease = (0..).zip(&order).find(|(_, old)| **old == *lease).map_or(0, |(new, _)| new);
        });
        self.next_lease = (1..).zip(&order[1..]).last().map_or(0, |(new, _)| new);
        self.flights.sort_unstable();
        self.ghost.leaderships.sort_unstable();
    }

    fn each_lease(&mut self, mut visit: impl FnMut(&mut LeaseValue)) {
        for Data { lease, record, .. } in self.servers.iter_mut().map(|server| &mut server.data) {
            visit(lease);
            record.iter_mut().for_each(|record| visit(&mut record.lease));
        }
        for replica in &mut self.replicas {
            match &mut replica.role {
                Role::Standby => {}
                Role::Acquired { lease, .. } => visit(lease),
                Role::Leading(leadership) => visit(&mut leadership.lease),
            }
            replica.suspicion.iter_mut().for_each(|suspicion| visit(&mut suspicion.lease));
        }
        self.flights.iter_mut().for_each(|flight| visit(&mut flight.batch.lease));
        self.ghost.leaderships.iter_mut().for_each(|(_, lease, _)| visit(lease));
    }

    fn act(&mut self, model: &Cluster, action: Action) -> bool {
        match action {
            Action::Observe(r) => self.observe(r),
            Action::Acquire(r) => self.acquire(model, r),
            Action::Claim(r) => self.claim(model, r, true),
            Action::Renew(r) => self.renew(model, r),
            Action::Resume(r) => {
                self.resume(model, r);
                self.poll(r);
            }
            Action::Poll(r) => self.poll(r),
            Action::Beat(r) => self.beat_in_vain(model, r),
            Action::Send(r) => self.send(model, r),
            Action::Arrive(at) => self.arrive(model, at),
            Action::Resubscribe(r) => {
                if let Liveness::Away { .. } = self.replicas[r].liveness {
                    self.replicas[r].liveness = Liveness::Open(self.address);
                }
            }
            Action::Probe(r) => self.probe(r),
            Action::Confirm(r) => self.confirm(r),
            Action::Reap(r) => self.reap(model, r),
            Action::Disconnect(r, link) => self.disconnect_link(r, link),
            Action::LeaseEnds(server) => self.end_lease(server),
            Action::Follow(gateway) => self.follow(model, gateway),
            Action::Unfollow(gateway) => {
                if self.gateways[gateway].listens_to(1 - self.address) {
                    self.gateways[gateway].lose_subscription();
                }
            }
            Action::Fault(fault) => return self.suffer(model, fault),
        }
        true
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let server = |run_id| Server { run_id, behind: false, data: Data::default() };
        vec![State {
            servers: [server(1), server(2)],
            address: 0,
            other_follows: true,
            replicas: [Replica::NEW, Replica { frozen: self.bounds.alone, ..Replica::NEW }],
            flights: Vec::new(),
            gateways: vec![Gateway::NEW; self.gateways],
            client: Client::default(),
            backend: 1,
            next_lease: 0,
            last_run_id: 2,
            left: self.bounds,
            ghost: Ghost::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(Fault::all(&self.bounds, self.gateways).map(Action::Fault));
        self.steps(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        if !next.act(self, action) {
            return None;
        }
        next.hear(self);
        next.deliver(self);
        next.forget(self);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        self.guarantees.iter().map(|guarantee| guarantee.property()).collect()
    }
}
