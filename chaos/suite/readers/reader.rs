//! What all readers have in common: a name, what they hold, and how they record what they get.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use pollux::model::Version;
use tokio::sync::watch;

use crate::history::{Event, FROZEN, Function, History, Kind, WOKEN};
use crate::publication::Publication;

/// A gateway.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    pub(super) name: String,
    pub(super) at: SocketAddr,
}

/// A reader, as others see it.
pub(super) struct Reader {
    pub(super) name: String,
    /// What it asks for.
    pub(super) endpoints: Vec<String>,
    pub(super) gateways: Arc<[Gateway]>,
    pub(super) history: History,
    held: Mutex<HashMap<String, Version>>,
    /// The gateway that it has a stream of.
    connected: Mutex<Option<usize>>,
    /// Whether those that can stop reading have to.
    stalled: watch::Receiver<bool>,
}

impl Reader {
    pub(super) fn new(
        name: String,
        endpoints: &[&str],
        gateways: Arc<[Gateway]>,
        history: &History,
        stalled: watch::Receiver<bool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            stalled,
            endpoints: endpoints.iter().map(|&name| name.to_owned()).collect(),
            gateways,
            history: history.clone(),
            held: Mutex::default(),
            connected: Mutex::default(),
        })
    }

    /// What it has of each endpoint.
    pub(super) fn held(&self) -> HashMap<String, Version> {
        self.held.lock().clone()
    }

    /// Waits until nobody keeps it from reading.
    pub(super) async fn until_it_may_read(&self) {
        let mut stalled = self.stalled.clone();
        if !*stalled.borrow() {
            return;
        }
        let note = |what: &str| {
            let event = Event::new(&self.name, Kind::Info, Function::Process);
            self.history.record(event.note(what));
        };
        note(FROZEN);
        // An error: nobody can keep it any more.
        stalled.wait_for(|stalled| !stalled).await.ok();
        note(WOKEN);
    }

    /// Whether it has less than that of an endpoint that it asks for.
    pub(super) fn is_behind(&self, newest: &HashMap<String, Version>) -> bool {
        let held = self.held.lock();
        self.endpoints.iter().any(|name| held.get(name) < newest.get(name))
    }

    /// What it had is forgotten.
    pub(super) fn forget(&self) {
        self.held.lock().clear();
    }

    /// The gateway that it has a stream of.
    pub(super) fn connected_to(&self) -> Option<&Gateway> {
        (*self.connected.lock()).map(|at| &self.gateways[at])
    }

    pub(super) fn set_connected(&self, to: Option<usize>) {
        *self.connected.lock() = to;
    }

    pub(super) fn event(&self, kind: Kind, f: Function, gateway: &Gateway) -> Event {
        Event::new(&self.name, kind, f).gateway(&gateway.name)
    }

    /// It got a body.
    pub(super) fn takes(&self, publication: Publication, gateway: &Gateway) {
        let Publication { endpoint, version, hash } = publication;
        let read = self.event(Kind::Ok, Function::Read, gateway);
        self.history.record(read.endpoint(&endpoint).version(version).hash(hash));
        self.held.lock().insert(endpoint, version);
    }

    /// It was told that it has the newest of an endpoint.
    pub(super) fn keeps(&self, endpoint: &str, version: Version, gateway: &Gateway) {
        let read = self.event(Kind::Ok, Function::Read, gateway);
        self.history.record(read.endpoint(endpoint).version(version));
    }

    /// An endpoint is polled no more.
    pub(super) fn loses(&self, endpoint: &str) {
        self.held.lock().remove(endpoint);
    }

    /// It got something that nobody should be given.
    pub(super) fn is_given(&self, what: impl ToString, gateway: &Gateway) {
        self.history.record(self.event(Kind::Fail, Function::Read, gateway).error(what));
    }
}
