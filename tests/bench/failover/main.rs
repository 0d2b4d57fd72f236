//! How long a backend waits when its poller is lost: `cargo bench --bench failover`.
//!
//! Pollux beside two ways of doing it oneself (see [`candidate`]), as processes, three of each per
//! cluster: whoever leads polls the backend every 20 ms. A fault hits the leader; the backend, in
//! this process, notes who asked when. Each run has a cluster, a key space and ways to Redis of
//! its own. Arguments come after `--`: `--runs 3 --lease 6s --fault sigkill --system pollux`.
//!
//! Takeovers that wait for a lease's end are measured in many clusters at once; those that do not
//! are measured one at a time, while nothing else starts.

#![allow(clippy::expect_used, reason = "a bench that cannot go on may as well stop")]

mod backend;
mod candidate;
mod cluster;
#[path = "../../common/mod.rs"]
mod common;
mod guarded;
mod table;
mod trial;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use candidate::Candidate;
use clap::Parser;
use cluster::{Fault, System};
use common::machine;
use futures_util::{StreamExt as _, stream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use table::Table;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use trial::{Case, Stage};

/// How many clusters whose takeovers do not wait are prepared at once.
const PROMPT_AT_ONCE: usize = 12;
/// How often progress is told, in runs.
const PROGRESS: usize = 25;

#[derive(Parser)]
struct Arguments {
    /// How often each case is run
    #[arg(long, default_value_t = 50)]
    runs: usize,
    /// The lease durations; may be given several times
    #[arg(long, default_values = ["2s", "6s", "60s"], value_parser = humantime::parse_duration)]
    lease: Vec<Duration>,
    /// The faults; all, if none is given
    #[arg(long)]
    fault: Vec<Fault>,
    /// The systems; all, if none is given
    #[arg(long)]
    system: Vec<System>,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let mut first = std::env::args().skip(1);
    match first.next().as_deref() {
        Some(guarded::ARGUMENT) => {
            eprintln!("{}", guarded::becomes(first));
            return ExitCode::FAILURE;
        }
        Some(candidate::ARGUMENT) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(Candidate::read(first).run());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let mut arguments = Arguments::parse();
    if arguments.fault.is_empty() {
        arguments.fault = Fault::ALL.to_vec();
    }
    if arguments.system.is_empty() {
        arguments.system = System::ALL.to_vec();
    }
    raise_open_files();
    // All processes end with the runtime's tasks when this is interrupted.
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let [mut interrupted, mut terminated, mut hung_up] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
                .map(|kind| signal(kind).expect("a signal can be awaited"));
        tokio::select! {
            () = measure(&arguments) => ExitCode::SUCCESS,
            _ = interrupted.recv() => ExitCode::FAILURE,
            _ = terminated.recv() => ExitCode::FAILURE,
            _ = hung_up.recv() => ExitCode::FAILURE,
        }
    })
}

/// Hundreds of proxied connections go through this process.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(16_384, |maximum| maximum.min(16_384)));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current, maximum }) {
        eprintln!("cannot raise the limit of open files: {error}");
    }
}

async fn measure(arguments: &Arguments) {
    let began = Instant::now();
    let stage = Arc::new(Stage::set(&arguments.system).await);
    let mut table = Table::new(arguments.runs);
    let mut leases = arguments.lease.clone();
    leases.sort_unstable();
    for &lease in leases.iter().rev() {
        let (prompt, waiting): (Vec<_>, Vec<_>) =
            cases(arguments, lease).partition(|case| case.system.sees_at_once(case.fault));
        run_all(&stage, waiting, arguments.runs, waiting_at_once(lease), &mut table).await;
        run_all(&stage, prompt, arguments.runs, PROMPT_AT_ONCE, &mut table).await;
    }
    println!("{}; {} s in all\n", machine::describe(), began.elapsed().as_secs());
    Table::explain();
    for lease in leases {
        table.print(lease, &arguments.fault, &arguments.system);
    }
}

fn cases(arguments: &Arguments, lease: Duration) -> impl Iterator<Item = Case> {
    arguments.fault.iter().flat_map(move |&fault| {
        arguments.system.iter().map(move |&system| Case { system, fault, lease })
    })
}

/// How many clusters run at once whose takeovers wait for the lease: the longer it is, the less
/// of their time goes into starting.
fn waiting_at_once(lease: Duration) -> usize {
    match lease.as_secs() {
        0..3 => 16,
        3..20 => 32,
        _ => 80,
    }
}

/// Runs each case so often, in turn.
async fn run_all(
    stage: &Arc<Stage>,
    cases: Vec<Case>,
    runs: usize,
    at_once: usize,
    table: &mut Table,
) {
    let all = cases.len() * runs;
    let turns = (0..runs).flat_map(|run| cases.iter().map(move |&case| (run, case)));
    let mut results = stream::iter(turns.collect::<Vec<_>>())
        .map(|(run, case)| {
            let stage = Arc::clone(stage);
            let lease = case.lease.as_millis();
            let name = format!("c{lease}-{}-{}-{run}", case.system as u8, case.fault as u8);
            // In a task of its own a panic is one run's failure.
            let running = tokio::spawn(async move { stage.measure(case, &name).await });
            async move { (case, running.await.unwrap_or_else(|error| Err(error.to_string()))) }
        })
        .buffer_unordered(at_once);
    let mut done = 0;
    while let Some((case, result)) = results.next().await {
        table.note(case, result);
        done += 1;
        if done % PROGRESS == 0 || done == all {
            eprintln!("{done} of {all} runs, {at_once} at once");
        }
    }
}
