use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{counter, gauge};

/// What one gateway has served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for endpoints that were answered, whatever the status.
    pub reads: u64,
    /// Snapshots handed to the connections of streams.
    pub deliveries: u64,
    /// Streams that are open.
    pub clients: u64,
}

/// Counts what a gateway serves, for metrics and for whoever asks in process.
#[derive(Debug, Default)]
pub struct Counters {
    reads: AtomicU64,
    deliveries: AtomicU64,
    clients: Arc<AtomicU64>,
}

impl Counters {
    /// Notes a request that was answered with a status.
    pub fn read(&self, status: u16) {
        self.reads.fetch_add(1, Relaxed);
        counter!("pollux_gateway_reads_total", "status" => status.to_string()).increment(1);
    }

    /// Notes snapshots handed to a connection.
    pub fn delivered(&self, transport: &'static str, snapshots: u64) {
        self.deliveries.fetch_add(snapshots, Relaxed);
        counter!("pollux_gateway_deliveries_total", "transport" => transport).increment(snapshots);
    }

    /// Notes a client that is refused for want of room.
    pub fn refused(&self) {
        counter!("pollux_gateway_closed_total", "reason" => "limit").increment(1);
    }

    /// Notes a client that stays until the guard is dropped.
    pub fn joined(&self, transport: &'static str) -> ClientGuard {
        self.clients.fetch_add(1, Relaxed);
        gauge!("pollux_gateway_clients", "transport" => transport).increment(1.0);
        ClientGuard { clients: Arc::clone(&self.clients), transport, reason: "client" }
    }

    /// What was counted so far.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            reads: self.reads.load(Relaxed),
            deliveries: self.deliveries.load(Relaxed),
            clients: self.clients.load(Relaxed),
        }
    }
}

/// Notes snapshots that took the place of ones not yet delivered.
pub(super) fn conflated(snapshots: u64) {
    counter!("pollux_gateway_conflated_total").increment(snapshots);
}

/// Notes that the store has to be read again.
pub(super) fn resync(cause: &'static str) {
    counter!("pollux_gateway_resyncs_total", "cause" => cause).increment(1);
}

/// A client that is connected. Unless it is said otherwise, the client itself ends it.
#[derive(Debug)]
pub struct ClientGuard {
    clients: Arc<AtomicU64>,
    transport: &'static str,
    reason: &'static str,
}

impl ClientGuard {
    /// Notes that the gateway ends the connection because it leaves.
    pub fn shut_down(&mut self) {
        self.reason = "shutdown";
    }
}

impl Drop for ClientGuard {
    fn drop(&mut self) {
        self.clients.fetch_sub(1, Relaxed);
        gauge!("pollux_gateway_clients", "transport" => self.transport).decrement(1.0);
        counter!("pollux_gateway_closed_total", "reason" => self.reason).increment(1);
    }
}
