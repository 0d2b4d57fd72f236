//! Real clusters under faults, and whether they keep their promises: `chaos/run`.
//!
//! [`trial`] says which runs there are, [`conduct`] makes each in a process of its own, [`scenario`] is
//! what that process does: it starts a [`cluster`] with a [`backend`] and [`readers`], makes one of the
//! [`faults`], and gives what was recorded ([`history`], [`recorder`]) to the [`checker`].

#![allow(clippy::expect_used, reason = "a harness that cannot go on may as well stop")]

mod address;
mod backend;
mod checker;
mod cluster;
#[path = "../../tests/common/mod.rs"]
mod common;
mod conduct;
mod fault;
#[path = "../faults/mod.rs"]
mod faults;
mod history;
mod publication;
mod readers;
mod recorder;
mod report;
mod run;
mod scenario;
mod table;
mod trial;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use checker::State;
use conduct::Conductor;
use run::{Outcome, Timing, Unknown};
use scenario::Means;
use trial::Trial;

/// Where reports go unless told otherwise: below the tree, wherever this is called from.
const REPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/chaos");

/// Starts real clusters, breaks something in each, heals it, and checks from outside that every promise
/// was kept. Exit status: 0 all runs are valid, 1 one is not, 2 wrong usage, 3 of one nothing is known,
/// 130 interrupted.
#[derive(Parser)]
#[command(name = "chaos/run", bin_name = "chaos/run")]
struct Arguments {
    /// Faults by name or number, `a+b` for two at once, `pairs` for two chosen by the seed; all that can
    /// be made here, and a pair, if none is given
    #[arg(value_name = "FAULT")]
    faults: Vec<String>,
    /// The seed of the first run; each further one has the next. Chosen anew if none is given
    #[arg(long)]
    seed: Option<u64>,
    /// How often each fault is made
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "minutes")]
    times: u64,
    /// Goes through the faults again and again until so many minutes have passed; pairs, if none is named
    #[arg(long, value_name = "M")]
    minutes: Option<u64>,
    /// The lease duration; renew deadline and retry period are two thirds and a sixth of it
    #[arg(long, default_value = "6s", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// How many clusters there are at once; more than one makes each slower
    #[arg(long, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// The program under test, in place of the one that was built with this
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where runs leave their reports
    #[arg(long, value_name = "DIR", default_value = REPORTS)]
    report: PathBuf,
    /// Lists the faults, and says which cannot be made here
    #[arg(long)]
    list: bool,
    /// Prints a table in Markdown at the end
    #[arg(long)]
    table: bool,
    /// Judges the run again that was recorded in a directory
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Makes the one run here: this process has namespaces of its own
    #[arg(long, hide = true)]
    alone: bool,
    /// Said by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.list {
        print!("{}", table::list(&Timing::of(arguments.lease)));
        return ExitCode::SUCCESS;
    } else if let Some(directory) = &arguments.judge {
        judge(directory)
    } else if arguments.alone {
        run_alone(&arguments).await
    } else {
        conduct(&arguments).await
    };
    match done {
        Ok(State::Valid) => ExitCode::SUCCESS,
        Ok(State::Invalid) => ExitCode::from(1),
        Ok(State::Unknown) => ExitCode::from(3),
        Err(Unknown(why)) => {
            eprintln!("chaos/run: {why}");
            ExitCode::from(3)
        }
    }
}

/// Makes all the runs that were asked for, and tells what they came to.
async fn conduct(arguments: &Arguments) -> Outcome<State> {
    let names = match faults(arguments) {
        Ok(names) => names,
        Err(unknown) => {
            eprintln!("chaos/run: {unknown}: chaos/run --list has all");
            std::process::exit(2);
        }
    };
    let timing = Timing::of(arguments.lease);
    let conductor = Conductor {
        lease: arguments.lease,
        binary: binary(arguments),
        report: arguments.report.clone(),
        jobs: arguments.jobs.max(1),
        called_off: on_signal()?,
    };
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(1..100_000));
    let deadline =
        arguments.minutes.map(|minutes| Instant::now() + Duration::from_secs(60 * minutes));
    let rounds = if deadline.is_some() { u64::MAX } else { arguments.times };
    let trials = (0..rounds)
        .flat_map(|round| names.iter().map(move |name| (name, round)))
        .take_while(|_| deadline.is_none_or(|deadline| Instant::now() < deadline))
        .filter_map(|(name, round)| Trial::named(name, seed + round));
    let made = conductor.make_all(trials, |made| println!("{}", table::line(made, &timing))).await;
    if arguments.table {
        print!("\n{}", table::markdown(&made, &timing));
    }
    let of = |state| made.iter().filter(|made| made.verdict.state == state).count();
    let [valid, invalid, unknown] = [State::Valid, State::Invalid, State::Unknown].map(of);
    println!("{valid} valid, {invalid} invalid, {unknown} unknown");
    if conductor.called_off.is_cancelled() {
        eprintln!("chaos/run: interrupted");
        std::process::exit(130);
    }
    Ok(table::worst(&made))
}

/// Cancelled by Ctrl-C, and by whatever else asks a process to end.
fn on_signal() -> Outcome<CancellationToken> {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let cancelled = CancellationToken::new();
    for kind in kinds {
        let (mut signals, cancelled) = (signal(kind)?, cancelled.clone());
        tokio::spawn(async move {
            signals.recv().await;
            cancelled.cancel();
        });
    }
    Ok(cancelled)
}

/// The names of the faults that were asked for, or the word that is none.
fn faults(arguments: &Arguments) -> Result<Vec<String>, String> {
    if arguments.faults.is_empty() && arguments.minutes.is_some() {
        return Ok(vec![trial::PAIRS.to_owned()]);
    }
    if arguments.faults.is_empty() {
        return Ok(trial::everything());
    }
    let mut names = Vec::new();
    for word in &arguments.faults {
        let meant = trial::names_of(word);
        if meant.is_empty() {
            return Err(format!("no fault is called {word}, or none of that number is made here"));
        }
        names.extend(meant);
    }
    Ok(names)
}

fn binary(arguments: &Arguments) -> PathBuf {
    arguments.binary.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_pollux")))
}

/// Makes one run in this process.
async fn run_alone(arguments: &Arguments) -> Outcome<State> {
    let seed = arguments.seed.unwrap_or_default();
    let name = arguments.faults.first().map(String::as_str).unwrap_or_default();
    let trial =
        Trial::named(name, seed).ok_or_else(|| Unknown(format!("no fault is called {name}")))?;
    let lease = humantime::format_duration(arguments.lease);
    let means = Means {
        timing: Timing::of(arguments.lease),
        binary: binary(arguments),
        directory: arguments.report.clone(),
        command: format!("chaos/run {name} --seed {seed} --lease {lease}"),
    };
    tokio::select! {
        made = scenario::make(&trial, &means) => Ok(made?.state),
        // The cluster goes with what is given up here.
        () = conduct::unwanted().cancelled_owned() => Err(Unknown("called off".to_owned())),
    }
}

/// Judges a recorded run again.
fn judge(directory: &Path) -> Outcome<State> {
    let (run, verdict) = scenario::judge(directory)?;
    println!("{}, seed {}: {}", run.fault, run.seed, serde_json::to_string_pretty(&verdict)?);
    Ok(verdict.state)
}
