//! What can happen to a server, for tests.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use super::EmbeddedStore;
use super::state::{BACKLOG, Lease, State, StoreClock, Stored, millis};
use crate::model::{EndpointName, Record};

/// What one server holds.
#[derive(Clone)]
pub(crate) struct Server {
    run_id: String,
    lease: Option<Lease>,
    record: Option<Record>,
    endpoints: HashMap<EndpointName, Stored>,
}

impl EmbeddedStore {
    /// Loses everything but the time, as a Redis that restarts without persistence.
    pub(crate) fn restart_empty(&self) {
        let mut state = self.state.lock();
        let fresh = State::new();
        let clock = std::mem::replace(&mut *state, fresh).clock;
        state.clock = clock;
    }

    /// Brings a server back as it was before another took its place.
    pub(crate) fn fail_back(&self, to: Server) {
        let mut state = self.state.lock();
        state.run_id = to.run_id;
        state.lease = to.lease;
        state.record = to.record;
        state.endpoints = to.endpoints;
        state.updates = broadcast::Sender::new(BACKLOG);
        state.leadership = broadcast::Sender::new(BACKLOG);
        state.alive.clear();
    }

    /// The server as it is, for [`EmbeddedStore::fail_back`].
    pub(crate) fn server(&self) -> Server {
        let state = self.state.lock();
        Server {
            run_id: state.run_id.clone(),
            lease: state.lease.clone(),
            record: state.record.clone(),
            endpoints: state.endpoints.clone(),
        }
    }

    /// Sets the server's clock, so that nothing depends on when a test runs.
    pub(crate) fn set_clock(&self, ms: u64) {
        self.state.lock().clock = StoreClock { start: Instant::now(), start_ms: ms };
    }

    /// Turns the server's clock back, as one that was set wrong.
    pub(crate) fn turn_clock_back(&self, by: Duration) {
        self.state.lock().clock.start_ms -= millis(by);
    }

    /// Goes on with the same data under another run id, as a promoted replica.
    pub(crate) fn fail_over(&self) {
        self.promote(self.server());
    }

    /// Goes on as a copy of the server, with what that has and under another run id.
    pub(crate) fn promote(&self, copy: Server) {
        self.fail_back(Server { run_id: State::new().run_id, ..copy });
    }

    /// Takes the lease away from whoever holds it.
    pub(crate) fn evict_lease(&self) {
        self.state.lock().lease = None;
    }
}
