//! Lives of whole clusters on a paused clock: the elector, the poller and the hubs as they are,
//! over the embedded store and a backend that is played, while things go wrong that a seed chooses.
//!
//! `POLLUX_SEEDS=100000 tests/run --lib simulation` lives through more of them than usual, and
//! `POLLUX_SEED=4711 tests/run --lib simulation -- --nocapture` through one alone, with its logs.

mod backend;
mod ending;
mod faults;
mod ground;
mod process;
mod readers;
mod replicas;
mod seeds;
mod trouble;
mod world;

use seeds::{in_parallel, number};
use world::simulate;

/// How many seeds are lived through unless `POLLUX_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

#[test]
fn whatever_goes_wrong_the_guarantees_hold() {
    if let Some(seed) = number("POLLUX_SEED") {
        let _logging = seeds::log();
        let outcome = simulate(seed);
        println!("seed {seed}: {:#?}", outcome.counts);
        return;
    }
    let seeds = number("POLLUX_SEEDS").unwrap_or(SEEDS);
    let counts = in_parallel(0..seeds, |seed| simulate(seed).counts);
    println!("{seeds} seeds: {counts:#?}");
    if seeds < 100 {
        return;
    }
    // A simulation in which nothing happens proves nothing.
    assert!(counts.leaderships >= 3 * seeds, "{counts:#?}");
    assert!(counts.publications >= 20 * seeds, "{counts:#?}");
    assert!(counts.deliveries >= 20 * seeds, "{counts:#?}");
    assert!(counts.crashes >= seeds, "{counts:#?}");
    let reconfigured = [counts.reconfigurations, counts.departures];
    let rare = [counts.reaps, counts.servers, counts.step_downs, counts.leavings];
    for rare in rare.into_iter().chain(reconfigured) {
        assert!(rare >= seeds / 8, "{counts:#?}");
    }
}

#[test]
fn a_seed_repeats() {
    for seed in 0..100 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed}");
    }
}
