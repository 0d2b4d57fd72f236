use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::backend::names;
use super::ground::Ground;
use crate::hub::{Event, Hub};
use crate::model::{EndpointName, Version};

/// The longest that a reader stays with a gateway, in ms.
pub(super) const STAY: u64 = 700;

/// The present hubs of all gateways.
pub(super) type Hubs = Vec<Arc<Mutex<Arc<Hub>>>>;

/// A client that goes from gateway to gateway, with what it has.
pub(super) struct Reader {
    /// The version and the body of each endpoint.
    pub(super) has: BTreeMap<String, (Version, Bytes)>,
    cursor: Version,
    ground: Arc<Ground>,
}

impl Reader {
    /// Lets a reader read until `done`; what it has in the end.
    pub(super) fn start(
        hubs: Hubs,
        ground: Arc<Ground>,
        rng: Rng,
        done: CancellationToken,
    ) -> JoinHandle<Self> {
        let mut reader = Self { has: BTreeMap::new(), cursor: Version::NONE, ground };
        tokio::spawn(async move {
            done.run_until_cancelled(reader.read(hubs, rng)).await;
            reader
        })
    }

    async fn read(&mut self, hubs: Hubs, mut rng: Rng) {
        loop {
            let hub = Arc::clone(&hubs[rng.usize(0..hubs.len())].lock());
            // A gateway that does not know of all that there is turns readers away.
            let Ok(mut subscriber) = hub.subscribe(names(), self.cursor) else {
                sleep(Duration::from_millis(rng.u64(1..STAY))).await;
                continue;
            };
            let until = Instant::now() + Duration::from_millis(rng.u64(1..STAY));
            let mut held = BTreeMap::new();
            while let Ok(events) = timeout_at(until, subscriber.next()).await {
                events.iter().for_each(|event| self.take(event));
                self.look(&hub, &mut held);
                if events.iter().any(|event| matches!(event, Event::StartOver)) {
                    break;
                }
            }
            self.look(&hub, &mut held);
            if !subscriber.is_complete() {
                self.cursor = Version::NONE;
            }
        }
    }

    /// Compares what a gateway holds with what it `held`.
    fn look(&self, hub: &Hub, held: &mut BTreeMap<EndpointName, Version>) {
        for endpoint in hub.endpoints() {
            let Some(version) = endpoint.version() else { continue };
            let before = held.insert(endpoint.name, version);
            if before.is_some_and(|before| version < before) {
                self.ground.violated(format!("a gateway went from {before:?} to {version}"));
            }
        }
    }

    fn take(&mut self, event: &Event) {
        let Event::Snapshot(snapshot) = event else {
            return;
        };
        let version = snapshot.version();
        if version <= self.cursor {
            self.ground.violated(format!("a reader at {} was given {version}", self.cursor));
        }
        self.cursor = version;
        let publication = snapshot.publication();
        let has = (version, publication.body.bytes().clone());
        self.has.insert(publication.endpoint.to_string(), has);
        self.ground.count(|counts| counts.deliveries += 1);
    }
}
