//! The figures of the README: `cargo bench --bench figures`.
//!
//! Three replicas as processes on a real Redis, a backend and clients in this process, all on one
//! machine:
//! 1. requests per second at the backend with 0, 100 and 1,000 clients;
//! 2. the time from a changed answer of the backend to its receipt by a client;
//! 3. the resident memory of idle replicas.

#![allow(clippy::expect_used, reason = "a bench that cannot go on may as well stop")]

#[path = "../common/mod.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::routing::get;
use common::machine;
use common::redis_server::RedisServer;
use common::replica::{Replica, leader};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The polled endpoints of the first figure: four, once a second, as in the README's example.
const ENDPOINTS: usize = 4;
/// How many clients follow all endpoints at once.
const CLIENTS: [usize; 3] = [0, 100, 1_000];
/// Over how long, and how often, the backend's requests are counted.
const WINDOW: Duration = Duration::from_secs(5);
const WINDOWS: usize = 5;
/// The interval of the endpoint whose changes are timed, and how many are.
const PACE: Duration = Duration::from_millis(20);
const CHANGES: usize = 1_000;
/// Runs of the timed part.
const RUNS: usize = 3;

/// A backend whose every answer is new, and tells when it was made.
#[derive(Clone)]
struct Backend {
    start: Instant,
    requests: Arc<AtomicU64>,
}

impl Backend {
    async fn start() -> (Self, String) {
        let backend = Self { start: Instant::now(), requests: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let routes = Router::new().route("/{name}", get(answer)).with_state(backend.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        (backend, address)
    }

    fn micros(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }
}

async fn answer(
    State(backend): State<Backend>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    backend.requests.fetch_add(1, Relaxed);
    let body =
        format!("{{\"made_at\":\"{:020}\",\"padding\":\"{}\"}}", backend.micros(), "-".repeat(400));
    ([(header::CONTENT_TYPE, "application/json")], body)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!("{}", machine::describe());
        requests_and_memory().await;
        delivery().await;
    });
}

fn configuration(redis: &RedisServer, backend: &str, endpoints: usize, every: Duration) -> String {
    let every = every.as_millis();
    let mut yaml = format!(
        "cluster: bench\nredis: {{ url: \"{}\" }}\ndefaults: {{ every: {every}ms }}\nendpoints:\n",
        redis.url()
    );
    for number in 0..endpoints {
        yaml.push_str(&format!("  - {{ name: e{number}, url: \"http://{backend}/e{number}\" }}\n"));
    }
    yaml
}

async fn start_replicas(configuration: &str) -> Vec<Replica> {
    let mut replicas = Vec::new();
    for name in ["one", "two", "three"] {
        replicas.push(Replica::start(name, configuration).await);
    }
    leader(&replicas, Duration::from_secs(10)).await;
    replicas
}

/// Holds a stream of all endpoints and throws away what comes.
async fn read_along(gateway: String, endpoints: usize) {
    if let Ok(mut lines) = open(&gateway, endpoints).await {
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|size| size > 0) {
            line.clear();
        }
    }
}

async fn open(gateway: &str, endpoints: usize) -> std::io::Result<BufReader<TcpStream>> {
    let query: Vec<String> = (0..endpoints).map(|number| format!("endpoint=e{number}")).collect();
    let mut socket = TcpStream::connect(gateway).await?;
    let request = format!("GET /v1/stream?{} HTTP/1.1\r\nHost: {gateway}\r\n\r\n", query.join("&"));
    socket.write_all(request.as_bytes()).await?;
    Ok(BufReader::new(socket))
}

async fn requests_and_memory() {
    let (backend, address) = Backend::start().await;
    let redis = RedisServer::start().await;
    let configuration = configuration(&redis, &address, ENDPOINTS, Duration::from_secs(1));
    let replicas = start_replicas(&configuration).await;
    // Not a condition to wait for, but the length of "idle".
    sleep(Duration::from_secs(10)).await;
    let mut memory: Vec<u64> = replicas.iter().map(Replica::resident_kib).collect();
    memory.sort_unstable();
    println!(
        "\nresident memory of three idle replicas, MiB: {}",
        list(&memory, |kib| kib as f64 / 1024.0)
    );

    println!(
        "\n| clients | requests/s at the backend (min, median, max of {WINDOWS} × {WINDOW:?}) |"
    );
    println!("|---|---|");
    for clients in CLIENTS {
        let mut reading = JoinSet::new();
        for number in 0..clients {
            let gateway = replicas[number % replicas.len()].gateway.clone();
            reading.spawn(read_along(gateway, ENDPOINTS));
        }
        let mut rates = Vec::new();
        let mut window_end = Instant::now() + Duration::from_secs(1);
        sleep_until(window_end).await;
        for _ in 0..WINDOWS {
            let before = backend.requests.load(Relaxed);
            window_end += WINDOW;
            sleep_until(window_end).await;
            rates.push(backend.requests.load(Relaxed) - before);
        }
        assert_eq!(reading.len(), clients, "no client lost its stream");
        rates.sort_unstable();
        println!("| {clients} | {} |", list(&rates, |count| count as f64 / WINDOW.as_secs_f64()));
    }
}

/// Minimum, median and maximum of sorted values.
fn list(sorted: &[u64], unit: impl Fn(u64) -> f64) -> String {
    let [first, middle, last] = [0, sorted.len() / 2, sorted.len() - 1].map(|at| unit(sorted[at]));
    format!("{first:.1}, {middle:.1}, {last:.1}")
}

async fn delivery() {
    println!(
        "\n| clients | changes | p50 | p99 | max, ms from the backend's answer to the client |"
    );
    println!("|---|---|---|---|---|");
    for clients in [1, 100] {
        for _ in 0..RUNS {
            let mut times = deliveries(clients).await;
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1e3;
            println!(
                "| {clients} | {CHANGES} | {:.2} | {:.2} | {:.2} |",
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
    }
}

/// How long each change took to each client, in µs. The wait for the next poll is no part of it:
/// the backend stamps its answer when it is asked.
async fn deliveries(clients: usize) -> Vec<u64> {
    let (backend, address) = Backend::start().await;
    let redis = RedisServer::start().await;
    let replicas = start_replicas(&configuration(&redis, &address, 1, PACE)).await;
    let (sender, mut received) = mpsc::unbounded_channel();
    let mut reading = JoinSet::new();
    for number in 0..clients {
        let gateway = replicas[number % replicas.len()].gateway.clone();
        let (backend, sender) = (backend.clone(), sender.clone());
        reading.spawn(async move {
            let mut lines = open(&gateway, 1).await.expect("a stream").lines();
            // The first is the snapshot, which was made before.
            let mut is_first = true;
            while let Ok(Some(line)) = lines.next_line().await {
                let Some(at) = line.find("\"made_at\":\"") else { continue };
                let made_at: u64 = line[at + 11..at + 31].parse().expect("twenty digits");
                if !std::mem::take(&mut is_first) {
                    sender.send(backend.micros() - made_at).ok();
                }
            }
        });
    }
    let mut times = Vec::new();
    while times.len() < CHANGES * clients {
        let next = timeout(Duration::from_secs(5), received.recv()).await;
        times.push(next.expect("changes keep coming").expect("a client reads"));
    }
    times
}
