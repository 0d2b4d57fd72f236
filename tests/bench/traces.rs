//! What traces cost a replica in CPU time: `cargo bench --bench traces`.
//!
//! One replica as a process polls fifty endpoints whose answers change each time, a thousand polls
//! a second, on the embedded store. The kernel counts the time that its threads ran, the replica its
//! polls. The settings take turns, so that what else runs on the machine meets them all.

#![allow(clippy::expect_used, reason = "a bench that cannot go on may as well stop")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use common::machine;
use common::replica::{Replica, leader};
use tokio::net::TcpListener;
use tokio::time::sleep;

const ENDPOINTS: usize = 50;
/// How long a replica settles before it is measured, and for how long it is.
const SETTLING: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(8);
const ROUNDS: usize = 5;
/// The share of the polls that are traced; `None`: there is no such setting.
const RATIOS: [Option<&str>; 4] = [None, Some("0"), Some("0.01"), Some("1")];

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let spans = Arc::new(AtomicU64::new(0));
        let address = serve(Arc::clone(&spans)).await;
        let mut costs = vec![Vec::new(); RATIOS.len()];
        for _ in 0..ROUNDS {
            for (costs, ratio) in costs.iter_mut().zip(RATIOS) {
                costs.push(cost(&address, ratio).await);
            }
        }
        println!("{}; CPU time per 1,000 polls, {ROUNDS} × {WINDOW:?}\n", machine::describe());
        println!("| traces.ratio | min | median | max |");
        println!("|---|---|---|---|");
        for (mut costs, ratio) in costs.into_iter().zip(RATIOS) {
            costs.sort();
            let ms = |cost: Duration| format!("{:.1} ms", cost.as_secs_f64() * 1000.0);
            let (min, median, max) = (costs[0], costs[ROUNDS / 2], costs[ROUNDS - 1]);
            let ratio = ratio.unwrap_or("(no traces)");
            println!("| {ratio} | {} | {} | {} |", ms(min), ms(median), ms(max));
        }
        println!("\n{} batches of spans", spans.load(Ordering::Relaxed));
    });
}

/// The CPU time that a replica takes for 1,000 polls.
async fn cost(address: &str, ratio: Option<&str>) -> Duration {
    let mut yaml = "cluster: costs\n".to_owned();
    if let Some(ratio) = ratio {
        yaml += &format!("traces: {{ endpoint: \"http://{address}\", ratio: {ratio} }}\n");
    }
    yaml += "endpoints:\n";
    for index in 0..ENDPOINTS {
        yaml += &format!("  - {{ name: e{index}, url: \"http://{address}/\", every: 50ms }}\n");
    }
    let replica = Replica::start("castor", &yaml).await;
    leader(std::slice::from_ref(&replica), Duration::from_secs(10)).await;
    // Not a condition to wait for, but what is measured.
    sleep(SETTLING).await;
    let before = (cpu_time(&replica), polls(&replica).await);
    sleep(WINDOW).await;
    let after = (cpu_time(&replica), polls(&replica).await);
    let polls = after.1 - before.1;
    assert!(polls > 0.9 * ENDPOINTS as f64 * 20.0 * WINDOW.as_secs_f64(), "only {polls} polls");
    (after.0 - before.0).mul_f64(1000.0 / polls)
}

async fn polls(replica: &Replica) -> f64 {
    replica.metric("pollux_polls_total", "changed").await
}

/// For how long the threads of a replica have run.
fn cpu_time(replica: &Replica) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{}/task", replica.process.id())).expect("Linux");
    let times = tasks.filter_map(|task| {
        let statistics = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// A backend whose answer is another each time, and a collector that counts batches.
async fn serve(batches: Arc<AtomicU64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let count = Arc::new(AtomicU64::new(0));
    let prices =
        move || async move { format!("{{\"price\":{}}}", count.fetch_add(1, Ordering::Relaxed)) };
    let take = move || async move {
        batches.fetch_add(1, Ordering::Relaxed);
    };
    let routes = Router::new().route("/", get(prices)).route("/v1/traces", post(take));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    address
}
