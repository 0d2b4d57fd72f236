use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{name, publication};
use crate::model::{Announcement, Beat, EndpointName, Gone, Publication, Record, Version};
use crate::store::{
    Batch, Channel, Claim, ClaimRequest, Examination, FailureKind, LeaseValue, Observation,
    Presence, Published, Reading, ReleaseReason, Renewal, Resumed, Store, StoreError, Subscription,
    Survey,
};

/// A store whose every message the test decides on.
#[derive(Default)]
pub(super) struct Server {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    version: Version,
    snapshots: HashMap<EndpointName, Publication>,
    checked: HashMap<EndpointName, Instant>,
    subscribers: Vec<mpsc::UnboundedSender<Bytes>>,
    down: bool,
    /// Published while the next reading is between the version and the snapshots.
    amid_reading: Vec<(String, Version)>,
    reads: usize,
    subscriptions: usize,
}

impl State {
    fn store(&mut self, endpoint: &str, version: Version) -> Publication {
        let made = publication(endpoint, version, &format!("\"{endpoint} {version}\""));
        self.version = version;
        self.checked.insert(name(endpoint), Instant::now());
        self.snapshots.insert(name(endpoint), made.clone());
        made
    }

    fn send(&mut self, message: Bytes) {
        self.subscribers.retain(|subscriber| subscriber.send(message.clone()).is_ok());
    }
}

impl Server {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Tells that an endpoint is gone, and keeps its snapshot as a store does for a day.
    pub(super) fn take_leave(&self, endpoint: &str, version: Version) {
        let mut state = self.state.lock();
        state.version = version;
        state.checked.remove(&name(endpoint));
        state.send(Gone { endpoint: name(endpoint), version }.json());
    }

    /// Publishes as a leader does.
    pub(super) fn publish(&self, endpoint: &str, version: Version) {
        let mut state = self.state.lock();
        let made = state.store(endpoint, version);
        state.send(made.json().clone());
    }

    /// Lets a publication take effect whose message gets lost.
    pub(super) fn publish_unheard(&self, endpoint: &str, version: Version) {
        self.state.lock().store(endpoint, version);
    }

    /// Publishes while the next reading is between the record's version and the snapshots.
    pub(super) fn publish_amid_reading(&self, endpoint: &str, version: Version) {
        let entry = (endpoint.to_owned(), version);
        self.state.lock().amid_reading.push(entry);
    }

    /// Beats with the record's version.
    pub(super) fn beat(&self, checked: &[&str]) {
        let mut state = self.state.lock();
        let checked: Vec<_> = checked.iter().map(|text| name(text)).collect();
        for endpoint in &checked {
            state.checked.insert(endpoint.clone(), Instant::now());
        }
        let last = state.version;
        state.send(Beat { last, checked }.json());
    }

    /// Sends whatever bytes.
    pub(super) fn send(&self, message: &'static str) {
        self.state.lock().send(Bytes::from_static(message.as_bytes()));
    }

    /// Goes back to an older record, as a server that lost its newest writes.
    pub(super) fn roll_back(&self, version: Version) {
        self.state.lock().version = version;
    }

    /// Ends all subscriptions, and answers nothing until [`Server::come_back`].
    pub(super) fn go_down(&self) {
        let mut state = self.state.lock();
        state.down = true;
        state.subscribers.clear();
    }

    pub(super) fn come_back(&self) {
        self.state.lock().down = false;
    }

    /// Ends all subscriptions.
    pub(super) fn disconnect(&self) {
        self.state.lock().subscribers.clear();
    }

    pub(super) fn reads(&self) -> usize {
        self.state.lock().reads
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.state.lock().subscriptions
    }
}

fn failure() -> StoreError {
    StoreError { kind: FailureKind::Refused, message: "the test says no".into() }
}

#[async_trait]
impl Store for Server {
    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError> {
        let mut state = self.state.lock();
        if state.down {
            return Err(failure());
        }
        state.reads += 1;
        let version = state.version;
        for (endpoint, version) in std::mem::take(&mut state.amid_reading) {
            let made = state.store(&endpoint, version);
            state.send(made.json().clone());
        }
        let snapshots = endpoints.iter().filter_map(|name| state.snapshots.get(name));
        let ages = endpoints.iter().filter_map(|name| {
            let age: Duration = state.checked.get(name)?.elapsed();
            Some((name.clone(), age))
        });
        Ok(Reading { version, snapshots: snapshots.cloned().collect(), ages: ages.collect() })
    }

    async fn subscribe(&self, _: Channel) -> Result<Subscription, StoreError> {
        let mut state = self.state.lock();
        state.subscriptions += 1;
        if state.down {
            return Err(failure());
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        state.subscribers.push(sender);
        let messages = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|message| (message, receiver))
        });
        Ok(Subscription::new(messages.boxed()))
    }

    async fn observe(&self) -> Result<Observation, StoreError> {
        Err(failure())
    }

    async fn acquire(&self) -> Option<LeaseValue> {
        None
    }

    async fn claim(&self, _: &ClaimRequest) -> Result<Option<Claim>, StoreError> {
        Err(failure())
    }

    async fn renew(&self, _: &Claim, _: uuid::Uuid) -> Result<Renewal, StoreError> {
        Err(failure())
    }

    async fn release(&self, _: &Claim, _: ReleaseReason) -> Result<bool, StoreError> {
        Err(failure())
    }

    async fn reap(&self, _: &Record) -> Result<bool, StoreError> {
        Err(failure())
    }

    async fn announce(&self, _: &Announcement) -> Result<(), StoreError> {
        Err(failure())
    }

    async fn publish(&self, _: &Claim, _: &Batch) -> Result<Published, StoreError> {
        Err(failure())
    }

    async fn resume(&self, _: &[EndpointName]) -> Result<Vec<Resumed>, StoreError> {
        Err(failure())
    }

    async fn known(&self) -> Result<Vec<EndpointName>, StoreError> {
        Err(failure())
    }

    async fn announce_presence(&self, _: &Presence) -> Result<Vec<Presence>, StoreError> {
        Err(failure())
    }

    async fn withdraw_presence(&self, _: &str) -> Result<(), StoreError> {
        Err(failure())
    }

    async fn examine(&self, _: &EndpointName, _: bool) -> Result<Examination, StoreError> {
        Err(failure())
    }

    async fn history(&self, _: &EndpointName, _: usize) -> Result<Vec<Publication>, StoreError> {
        Err(failure())
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        Err(failure())
    }
}
