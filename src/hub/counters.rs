use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::{Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use super::follow::Break;
use super::subscriber::Event;

/// Of so many streams one has its deliveries timed, so that ten thousand cost nothing to notice.
const STREAMS_PER_TIMED: u64 = 16;

/// How clients are served with deliveries.
const TRANSPORTS: [&str; 1] = ["sse"];

/// What one gateway has served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests for endpoints whose answer carried data, or confirmed those that the client has.
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
    /// All streams so far.
    streams: AtomicU64,
}

impl Counters {
    /// Counters of a gateway that has served nothing. Their series are shown from the start: from
    /// one that begins with its first increment Prometheus sees no increase.
    pub(super) fn starting_at_zero() -> Self {
        for status in ["200", "304", "404", "503"] {
            counter!("pollux_gateway_reads_total", "status" => status).increment(0);
        }
        for transport in TRANSPORTS {
            counter!("pollux_gateway_deliveries_total", "transport" => transport).increment(0);
            gauge!("pollux_gateway_clients", "transport" => transport).increment(0.0);
        }
        for reason in ["limit", "shutdown", "client"] {
            counter!("pollux_gateway_closed_total", "reason" => reason).increment(0);
        }
        for cause in Break::CAUSES {
            counter!("pollux_gateway_resyncs_total", "cause" => cause).increment(0);
        }
        conflated(0);
        let _shown = delivery_seconds();
        Self::default()
    }

    /// Notes a request that was answered with a status. One that got no data saved nobody a request.
    pub fn read(&self, status: u16) {
        if matches!(status, 200 | 304) {
            self.reads.fetch_add(1, Relaxed);
        }
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
        let timed = self.streams.fetch_add(1, Relaxed).is_multiple_of(STREAMS_PER_TIMED);
        ClientGuard {
            clients: Arc::clone(&self.clients),
            transport,
            reason: "client",
            joined: Instant::now(),
            times: timed.then(delivery_seconds),
        }
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

fn delivery_seconds() -> Histogram {
    histogram!("pollux_delivery_seconds")
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
    joined: Instant,
    /// Where its deliveries are timed, if they are.
    times: Option<Histogram>,
}

impl ClientGuard {
    /// Notes that the frames of these events are handed to the client's connection now. Of what
    /// arrived before the client came, nothing follows about how long deliveries take.
    pub fn handed_over(&self, events: &[Event]) {
        let Some(times) = &self.times else { return };
        for event in events {
            if let Event::Snapshot(snapshot) = event
                && snapshot.arrived() > self.joined
            {
                times.record(snapshot.arrived().elapsed());
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics_exporter_prometheus::PrometheusBuilder;
    use tokio::time::advance;

    use super::*;
    use crate::hub::Snapshot;
    use crate::hub::tests::publication;
    use crate::model::Version;

    /// An event with a publication that arrives now.
    fn arriving() -> Event {
        Event::Snapshot(Arc::new(Snapshot::new(publication("a", Version::new(1, 1), "0"))))
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_of_one_stream_in_sixteen_are_timed_from_arrival_on() {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0, 3.0]).unwrap().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let counters = Counters::starting_at_zero();
        let before = arriving();
        advance(Duration::from_secs(9)).await;
        let guards: Vec<_> = (0..17).map(|_| counters.joined("sse")).collect();
        advance(Duration::from_secs(1)).await;
        let after = arriving();
        advance(Duration::from_secs(2)).await;
        for guard in &guards {
            guard.handed_over(&[before.clone(), after.clone()]);
        }
        let text = recorder.handle().render();
        assert!(text.contains("pollux_delivery_seconds_count 2"), "{text}");
        assert!(text.contains("pollux_delivery_seconds_sum 4"), "{text}");
    }

    #[test]
    fn a_gateway_that_has_served_nothing_shows_that() {
        let recorder = PrometheusBuilder::new().set_buckets(&[1.0]).unwrap().build_recorder();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let _counters = Counters::starting_at_zero();
        let text = recorder.handle().render();
        for series in [
            "gateway_reads_total{status=\"304\"} 0",
            "gateway_deliveries_total{transport=\"sse\"} 0",
            "gateway_clients{transport=\"sse\"} 0",
            "gateway_conflated_total 0",
            "gateway_closed_total{reason=\"limit\"} 0",
            "gateway_resyncs_total{cause=\"silent\"} 0",
            "delivery_seconds_count 0",
        ] {
            assert!(text.contains(&format!("pollux_{series}\n")), "{series}: {text}");
        }
    }
}
