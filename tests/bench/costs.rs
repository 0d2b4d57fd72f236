//! What an idle replica costs in Redis commands: `cargo bench --bench costs`.
//!
//! Three replicas as processes poll an endpoint that never changes, once with `crash_probe` and
//! once without. Redis itself counts, by `MONITOR`: each command of a client is one, whatever a
//! script calls is none, as on a bill. Each replica has its own way to Redis, so its commands are
//! told from the others' by the ports that they come from.

#![allow(clippy::expect_used, reason = "a bench that cannot go on may as well stop")]

#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use common::machine;
use common::proxy::Proxy;
use common::redis_server::RedisServer;
use common::replica::{Replica, leader};
use futures_util::StreamExt as _;
use redis::Client;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout_at};

/// How long after the first claim the replicas count as idle.
const SETTLING: Duration = Duration::from_secs(10);
/// Over how long is counted: whole rounds of everything that recurs, presence the slowest.
const WINDOW: Duration = Duration::from_secs(60);

/// The sum of a replica's own count of its commands.
const OWN_COUNT: &str = "pollux_redis_commands_total";

/// A replica's commands within the window.
struct Count {
    crash_probe: &'static str,
    leads: bool,
    name: String,
    /// By name.
    commands: BTreeMap<String, u64>,
    /// As the replica has counted them.
    own: f64,
}

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let (without, with) = tokio::join!(count("0s"), count("100ms"));
        println!("{}; commands per second over {WINDOW:?}\n", machine::describe());
        println!("| crash_probe | replica | commands/s | by its own metric | of these |");
        println!("|---|---|---|---|---|");
        for count in without.iter().chain(&with) {
            count.print();
        }
    });
}

impl Count {
    fn print(&self) {
        let per_second = |count: f64| count / WINDOW.as_secs_f64();
        let all: u64 = self.commands.values().sum();
        let commands: Vec<String> = self
            .commands
            .iter()
            .map(|(name, &count)| format!("{name} {:.2}", per_second(count as f64)))
            .collect();
        println!(
            "| {} | {}, {} | {:.2} | {:.2} | {} |",
            self.crash_probe,
            self.name,
            if self.leads { "leader" } else { "standby" },
            per_second(all as f64),
            per_second(self.own),
            commands.join(", "),
        );
    }
}

/// Starts a cluster and counts its commands.
async fn count(crash_probe: &'static str) -> Vec<Count> {
    let redis = RedisServer::start().await;
    let backend = backend().await;
    let (mut replicas, mut proxies) = (Vec::new(), Vec::new());
    for name in ["castor", "idas", "lynceus"] {
        let proxy = Proxy::to(redis.port).await;
        let yaml = format!(
            "cluster: costs
redis: {{ url: \"{}\" }}
lease: {{ crash_probe: {crash_probe} }}
endpoints:
  - {{ name: polled, url: \"http://{backend}/\", every: 1s }}
",
            proxy.url()
        );
        replicas.push(Replica::start(name, &yaml).await);
        proxies.push(proxy);
    }
    leader(&replicas, Duration::from_secs(10)).await;
    // Not a condition to wait for, but what "idle" means.
    sleep(SETTLING).await;

    let leads = leader(&replicas, Duration::from_secs(1)).await;
    let before = own_counts(&replicas).await;
    let commands = monitor(&redis, &proxies).await;
    let after = own_counts(&replicas).await;
    assert_eq!(leader(&replicas, Duration::from_secs(1)).await, leads, "the leader has changed");
    let counts = commands.into_iter().enumerate().map(|(index, commands)| Count {
        crash_probe,
        leads: index == leads,
        name: replicas[index].name.clone(),
        commands,
        own: after[index] - before[index],
    });
    counts.collect()
}

async fn own_counts(replicas: &[Replica]) -> Vec<f64> {
    let mut counts = Vec::new();
    for replica in replicas {
        counts.push(replica.metric(OWN_COUNT, "").await);
    }
    counts
}

/// A backend whose answer never changes.
async fn backend() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let routes = Router::new().route("/", get(|| async { "{}" }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}

/// Counts the commands that came through each proxy within the window, by name.
async fn monitor(redis: &RedisServer, proxies: &[Proxy]) -> Vec<BTreeMap<String, u64>> {
    let client = Client::open(redis.url()).expect("a valid address");
    let monitor = client.get_async_monitor().await.expect("redis-server answers");
    let mut lines = std::pin::pin!(monitor.into_on_message::<String>());
    let end = Instant::now() + WINDOW;
    let mut counts = vec![BTreeMap::new(); proxies.len()];
    while let Ok(line) = timeout_at(end, lines.next()).await {
        let line = line.expect("redis-server goes on");
        let Some((port, command)) = client_command(&line) else { continue };
        let through = proxies.iter().position(|proxy| proxy.ports().contains(&port));
        let of = &mut counts[through.expect("nobody else uses this server")];
        *of.entry(command).or_default() += 1;
    }
    counts
}

/// Reads `1339518083.107412 [0 127.0.0.1:60866] "evalsha" …`; a script's commands have `lua` in
/// the place of the client's address.
fn client_command(line: &str) -> Option<(u16, String)> {
    let (client, command) = line.split_once(" [")?.1.split_once("] \"")?;
    let port = client.rsplit_once(':')?.1.parse().ok()?;
    Some((port, command.split('"').next()?.to_ascii_uppercase()))
}
