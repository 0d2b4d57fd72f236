//! The clients of a run. Each records what it is given, and by whom.

mod getting;
mod http;
mod reader;
mod sse;
mod streaming;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pollux::model::Version;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::getting::Getting;
use self::reader::{Gateway, Reader};
use self::streaming::{Habit, Streaming};
use crate::backend::CALM;
use crate::history::History;

/// How many streams begin and stay at each gateway.
const STEADY_EACH: usize = 2;
/// How many clients ask again and again.
const GETTING: usize = 2;
/// A crowd of more than this follows one endpoint alone, or a machine that holds thousands of clients would
/// have no time for anything else.
const CROWD_FOLLOWS_ALL: usize = 500;
/// Of so many in the crowd one can be made to stop reading.
const ONE_IN: usize = 20;
/// Within which time the crowd comes, per client.
const CROWD_JOINS: Duration = Duration::from_millis(1);

/// All clients, until they are dropped.
pub(crate) struct Readers {
    readers: Vec<Arc<Reader>>,
    reading: JoinSet<()>,
    stalled: watch::Sender<bool>,
    /// Their own, so that thousands who get something at once do not keep those waiting who stamp what
    /// backend and Redis see. There until it is dropped.
    runtime: Option<Runtime>,
}

impl Readers {
    /// Starts the clients: `sse-1` and so on, `restless`, `slow`, `get-1` and so on, and a crowd of so many
    /// more: `crowd-1` and so on. A large crowd follows [`CALM`] alone; all others follow `endpoints`.
    pub(crate) fn start(
        history: &History,
        gateways: &[(&str, SocketAddr)],
        endpoints: &[&str],
        seed: u64,
        crowd: usize,
    ) -> Self {
        let gateways: Arc<[Gateway]> =
            gateways.iter().map(|&(name, at)| Gateway { name: name.to_owned(), at }).collect();
        let count = gateways.len();
        let stalled = watch::Sender::new(false);
        let mut readers = Vec::new();
        let mut reading = JoinSet::new();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread");
        let mut add = |name: String, endpoints: &[&str]| {
            let reader =
                Reader::new(name, endpoints, Arc::clone(&gateways), history, stalled.subscribe());
            readers.push(Arc::clone(&reader));
            reader
        };
        let mut rng = Rng::with_seed(seed);
        let mut stream = |reader, habit, number, delay| {
            let streaming = Streaming::new(reader, habit, number % count, rng.fork());
            reading.spawn_on(streaming.run(delay), runtime.handle());
        };
        for number in 0..STEADY_EACH * count {
            let reader = add(format!("sse-{}", number + 1), endpoints);
            stream(reader, Habit::Steady, number, Duration::ZERO);
        }
        stream(add("restless".to_owned(), endpoints), Habit::Restless, 0, Duration::ZERO);
        stream(add("slow".to_owned(), endpoints), Habit::Slow, 1, Duration::ZERO);
        let follows = if crowd > CROWD_FOLLOWS_ALL { &[CALM][..] } else { endpoints };
        for number in 0..crowd {
            let reader = add(format!("crowd-{}", number + 1), follows);
            let delay = CROWD_JOINS * u32::try_from(number).unwrap_or(u32::MAX);
            let stalls = number.is_multiple_of(ONE_IN);
            let habit = if stalls { Habit::Stalling } else { Habit::Obedient };
            stream(reader, habit, number, delay);
        }
        for number in 0..GETTING {
            let reader = add(format!("get-{}", number + 1), endpoints);
            reading.spawn_on(Getting::new(reader, number % count).run(), runtime.handle());
        }
        Self { readers, reading, stalled, runtime: Some(runtime) }
    }

    /// What each client has of each endpoint. One that has begun anew has nothing at first.
    pub(crate) fn held(&self) -> HashMap<String, HashMap<String, Version>> {
        self.readers.iter().map(|reader| (reader.name.clone(), reader.held())).collect()
    }

    /// The clients that have less than `newest` of an endpoint that they ask for.
    pub(crate) fn behind(&self, newest: &HashMap<String, Version>) -> Vec<&str> {
        let behind = self.readers.iter().filter(|reader| reader.is_behind(newest));
        behind.map(|reader| reader.name.as_str()).collect()
    }

    /// Lets one in twenty of the crowd stop reading.
    pub(crate) fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Lets all read again.
    pub(crate) fn resume(&self) {
        self.stalled.send_replace(false);
    }

    /// How many clients have a stream now, by gateway.
    pub(crate) fn connected(&self) -> HashMap<String, usize> {
        let mut connected = HashMap::new();
        for gateway in self.readers.iter().filter_map(|reader| reader.connected_to()) {
            *connected.entry(gateway.name.clone()).or_default() += 1;
        }
        connected
    }

    /// Ends all clients. They record nothing of that: it is not the gateways that end their streams.
    pub(crate) async fn stop(&mut self) {
        self.reading.shutdown().await;
        self.readers.iter().for_each(|reader| reader.set_connected(None));
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for its thread is not allowed where it is dropped.
            runtime.shutdown_background();
        }
    }
}
