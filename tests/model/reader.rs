//! Gateways, and a client of theirs.

use crate::cluster::{Cluster, State};
use crate::safeguards::Safeguard;
use crate::server::{Publication, Record, Version};

/// How far a gateway is in following the store. It reads from the server it is subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Unsubscribed,
    /// Has to read again.
    Subscribed,
    /// Has read the record's version, not yet the snapshots.
    Reading(Version),
    /// Passes on what Pub/Sub brings.
    Following,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Gateway {
    pub phase: Phase,
    pub server: usize,
    /// What Pub/Sub has brought and is not heard yet, the oldest first.
    pub queue: Vec<Publication>,
    pub position: Version,
    pub held: Publication,
}

/// A client that keeps what it has when it goes to another gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub gateway: usize,
    pub has: Publication,
    /// How far its stream has got.
    pub cursor: Version,
}

impl Gateway {
    pub const NEW: Self = Self {
        phase: Phase::Unsubscribed,
        server: 0,
        queue: Vec::new(),
        position: Version { term: 0, sequence: 0 },
        held: Publication { version: Version { term: 0, sequence: 0 }, body: 0 },
    };

    /// Whether it hears what is published on a server.
    pub fn listens_to(&self, server: usize) -> bool {
        self.phase != Phase::Unsubscribed && self.server == server
    }

    /// Its connections break.
    pub fn lose_subscription(&mut self) {
        self.phase = Phase::Unsubscribed;
        self.server = 0;
        self.queue.clear();
    }

    fn take(&mut self, publication: Publication, filtered: bool) {
        if publication.version > self.held.version || !filtered {
            self.held = publication;
        }
    }

    /// One message, in the order of `Order::of`.
    fn hear(&mut self, filtered: bool) {
        let publication = self.queue.remove(0);
        let Version { term, sequence } = publication.version;
        if publication.version <= self.position {
            return;
        }
        if term == self.position.term && sequence == self.position.sequence + 1 {
            self.position = publication.version;
            self.take(publication, filtered);
        } else {
            self.phase = Phase::Subscribed;
        }
    }
}

impl State {
    /// The next step of a gateway. It subscribes and reads the version in one: what is published
    /// between the two is known by then.
    pub fn follow(&mut self, model: &Cluster, gateway: usize) {
        let filtered = model.safeguards.has(Safeguard::VersionFilter);
        let gateway = &mut self.gateways[gateway];
        match gateway.phase {
            Phase::Unsubscribed | Phase::Subscribed => {
                if gateway.phase == Phase::Unsubscribed {
                    gateway.server = self.address;
                }
                let record = self.servers[gateway.server].data.record;
                let version =
                    record.map(|Record { term, sequence, .. }| Version { term, sequence });
                gateway.phase = Phase::Reading(version.unwrap_or_default());
            }
            Phase::Reading(version) => {
                let snapshot = self.servers[gateway.server].data.snapshot;
                if snapshot.body != 0 && snapshot.version <= version {
                    gateway.take(snapshot, filtered);
                }
                gateway.position = version;
                gateway.phase = Phase::Following;
            }
            Phase::Following => {}
        }
    }

    /// What was published is heard at once, unless a gateway has to read first.
    pub fn hear(&mut self, model: &Cluster) {
        let filtered = model.safeguards.has(Safeguard::VersionFilter);
        for gateway in &mut self.gateways {
            while gateway.phase == Phase::Following && !gateway.queue.is_empty() {
                gateway.hear(filtered);
            }
        }
    }

    /// The client goes to the other gateway and says what it has.
    pub fn go_elsewhere(&mut self, model: &Cluster) {
        let client = &mut self.client;
        client.gateway = 1 - client.gateway;
        if !model.safeguards.has(Safeguard::Resumption) {
            client.cursor = Version::default();
        }
    }

    /// The client gets what its gateway holds, at once: what it misses is conflated.
    pub fn deliver(&mut self, model: &Cluster) {
        let Self { client, ghost, .. } = self;
        let Some(Gateway { held, .. }) = self.gateways.get(client.gateway) else { return };
        let differs = *held != client.has && !model.safeguards.has(Safeguard::VersionFilter);
        if held.version > client.cursor || differs {
            ghost.went_back |= held.version <= client.has.version;
            client.has = *held;
            client.cursor = held.version;
        }
    }
}
