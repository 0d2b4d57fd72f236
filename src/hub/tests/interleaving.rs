use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::Instant;

use super::{hub_of, publication, snapshots};
use crate::hub::{Event, Hub, Subscriber};
use crate::model::{Publication, Version};
use crate::store::Reading;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const SEEDS: u64 = 300;
const STEPS: usize = 400;

/// A store, its two gateways and one client, all moved step by step.
struct World {
    random: Rng,
    version: Version,
    snapshots: BTreeMap<&'static str, Publication>,
    gateways: [Gateway; 2],
    client: Client,
}

/// A hub with the messages that are on their way to it.
struct Gateway {
    hub: Arc<Hub>,
    messages: VecDeque<Bytes>,
}

/// A client that reconnects to either gateway with what it has.
struct Client {
    subscriber: Subscriber,
    cursor: Version,
    has: BTreeMap<String, Version>,
}

impl World {
    fn new(seed: u64) -> Self {
        let gateway = || Gateway { hub: hub_of(&NAMES), messages: VecDeque::new() };
        let gateways = [gateway(), gateway()];
        let client = Client {
            subscriber: gateways[0].hub.subscribe(NAMES, Version::NONE).unwrap(),
            cursor: Version::NONE,
            has: BTreeMap::new(),
        };
        Self {
            random: Rng::with_seed(seed),
            version: Version::new(1, 0),
            snapshots: BTreeMap::new(),
            gateways,
            client,
        }
    }

    fn step(&mut self) {
        let gateway = self.random.usize(0..2);
        match self.random.u8(0..100) {
            0..40 => self.publish(),
            40..42 => self.version = Version::new(self.version.term + 1, 0),
            42..80 => self.deliver(gateway),
            80..83 => {
                self.gateways[gateway].messages.pop_front();
            }
            83..85 => self.read(gateway),
            85..97 => self.gather(),
            _ => self.reconnect(gateway),
        }
    }

    fn publish(&mut self) {
        let endpoint = NAMES[self.random.usize(0..NAMES.len())];
        self.version.sequence += 1;
        let made = publication(endpoint, self.version, "0");
        for gateway in &mut self.gateways {
            gateway.messages.push_back(made.json().clone());
        }
        self.snapshots.insert(endpoint, made);
    }

    fn deliver(&mut self, gateway: usize) {
        let Some(message) = self.gateways[gateway].messages.pop_front() else {
            return;
        };
        if self.gateways[gateway].hub.hear(message).is_err() {
            self.read(gateway);
        }
    }

    /// Reads, with publications between the record's version and the snapshots.
    fn read(&mut self, gateway: usize) {
        let version = self.version;
        for _ in 0..self.random.usize(0..4) {
            self.publish();
        }
        let reading = Reading {
            version,
            snapshots: self.snapshots.values().cloned().collect(),
            ages: Vec::new(),
        };
        self.gateways[gateway].hub.pass_on_reading(reading, Instant::now());
    }

    fn gather(&mut self) {
        let events = self.client.subscriber.gather();
        self.client.take(&events);
    }

    /// Breaks the connection amid what was gathered, and goes on at a gateway.
    fn reconnect(&mut self, gateway: usize) {
        let mut events = self.client.subscriber.gather();
        events.truncate(self.random.usize(0..=events.len()));
        self.client.take(&events);
        let hub = &self.gateways[gateway].hub;
        self.client.subscriber = hub.subscribe(NAMES, self.client.cursor).unwrap();
    }

    /// Lets everything arrive, and compares what the client has with the store.
    fn settle(mut self) {
        for gateway in 0..2 {
            while !self.gateways[gateway].messages.is_empty() {
                self.deliver(gateway);
            }
            let version = self.version;
            let behind = self.gateways[gateway].hub.version() < version;
            if behind {
                self.read(gateway);
                while !self.gateways[gateway].messages.is_empty() {
                    self.deliver(gateway);
                }
            }
        }
        // The last reading may have published to the first gateway.
        while !self.gateways[0].messages.is_empty() {
            self.deliver(0);
        }
        self.gather();
        for (endpoint, newest) in &self.snapshots {
            assert_eq!(self.client.has.get(*endpoint), Some(&newest.version), "{endpoint}");
        }
    }
}

impl Client {
    fn take(&mut self, events: &[Event]) {
        for (endpoint, version) in snapshots(events) {
            assert!(version > self.cursor, "{version} after {}", self.cursor);
            self.cursor = version;
            self.has.insert(endpoint, version);
        }
    }
}

#[test]
fn versions_grow_and_the_newest_arrives_through_gaps_terms_and_reconnections() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
    }
}
