//! A model of the protocol.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

mod cluster;
mod faults;
mod properties;
mod reader;
mod replica;
mod safeguards;
mod server;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use cluster::{Cluster, State};
use faults::Bounds;
use properties::Guarantee;
use safeguards::{Safeguard, Safeguards};

/// Visits every state within the bounds; none may break a guarantee.
fn assert_kept(bounds: Bounds, gateways: usize) {
    let start = Instant::now();
    let guarantees = Guarantee::ALL.to_vec();
    let model = Cluster { safeguards: Safeguards::ALL, bounds, gateways, guarantees };
    // One thread: stateright has been seen to stop early with two.
    let checker = model
        .checker()
        .symmetry_fn(State::representative)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    eprintln!("{} states in {:?}", checker.unique_state_count(), start.elapsed());
    checker.assert_properties();
}

/// Finds the shortest way in which a guarantee breaks without a safeguard, and prints it.
fn assert_needed(safeguard: Safeguard, guarantee: Guarantee, bounds: Bounds, gateways: usize) {
    let start = Instant::now();
    let safeguards = Safeguards::ALL.without(safeguard);
    let model = Cluster { safeguards, bounds, gateways, guarantees: vec![guarantee] };
    let checker = model.checker().timeout(std::time::Duration::from_secs(40)).spawn_bfs().join();
    let states = checker.unique_state_count();
    eprintln!("{states} states in {:?}", start.elapsed());
    let found = checker.discovery(guarantee.name());
    let path = found.unwrap_or_else(|| {
        panic!("{states} states without {safeguard:?} keep: {}", guarantee.name())
    });
    eprintln!("without {safeguard:?}, against: {}", guarantee.name());
    for action in path.into_actions() {
        eprintln!("    {action:?}");
    }
}

#[test]
fn the_exact_record_fences_after_a_loss_of_data() {
    let bounds = Bounds { faults: 2, changes: 0, crashes: 1, flushes: 1, ..Bounds::NONE };
    assert_needed(Safeguard::ExactRecord, Guarantee::OneEffectiveWriter, bounds, 0);
}

#[test]
fn the_sequence_fences_a_late_copy() {
    let bounds = Bounds { faults: 1, changes: 1, delays: 1, ..Bounds::NONE };
    assert_needed(Safeguard::Sequence, Guarantee::OneEffectiveWriter, bounds, 0);
}

#[test]
fn the_time_keeps_terms_growing_after_a_loss_of_data() {
    let bounds = Bounds { faults: 1, flushes: 1, ..Bounds::NONE };
    assert_needed(Safeguard::Time, Guarantee::OneEffectiveWriter, bounds, 0);
}

#[test]
fn the_run_id_ends_a_term_that_a_failover_brought_back() {
    let bounds = Bounds { faults: 2, changes: 1, failovers: 1, freezes: 1, ..Bounds::NONE };
    assert_needed(Safeguard::RunId, Guarantee::NothingCurrentIsLost, bounds, 1);
}

#[test]
fn the_highest_term_seen_counts_where_the_clock_is_behind() {
    let bounds = Bounds { faults: 1, failovers: 1, behind: true, ..Bounds::NONE };
    assert_needed(Safeguard::HighestSeen, Guarantee::UniqueLeaderships, bounds, 0);
}

#[test]
fn a_spent_term_is_given_back_when_a_server_returns() {
    let bounds = Bounds { faults: 2, failovers: 2, ..Bounds::NONE };
    assert_needed(Safeguard::SpentTerm, Guarantee::NothingCurrentIsLost, bounds, 1);
}

#[test]
fn the_base_brings_back_what_a_rolled_back_store_lost() {
    let bounds = Bounds { faults: 1, changes: 2, failovers: 1, ..Bounds::NONE };
    assert_needed(Safeguard::Base, Guarantee::NothingCurrentIsLost, bounds, 1);
}

#[test]
fn readers_filter_by_version() {
    let bounds = Bounds { faults: 1, changes: 1, failovers: 1, ..Bounds::NONE };
    assert_needed(Safeguard::VersionFilter, Guarantee::ReaderNeverGoesBack, bounds, 1);
}

#[test]
fn a_confirmed_answer_spares_a_leader_that_is_back_soon() {
    let bounds = Bounds { faults: 1, lost_liveness: 1, ..Bounds::NONE };
    assert_needed(Safeguard::Confirmation, Guarantee::NoFlapping, bounds, 0);
}

#[test]
fn the_last_question_spares_a_leader_that_is_back() {
    let bounds = Bounds { faults: 1, lost_liveness: 1, ..Bounds::NONE };
    assert_needed(Safeguard::LastQuestion, Guarantee::NoFlapping, bounds, 0);
}

#[test]
fn a_reap_spares_the_successor() {
    let bounds = Bounds { faults: 2, lost_liveness: 1, releases: 1, ..Bounds::NONE };
    assert_needed(Safeguard::ReapCompares, Guarantee::NoFlapping, bounds, 0);
}

#[test]
fn beats_are_counted() {
    let bounds = Bounds { faults: 1, delays: 1, beats: 1, ..Bounds::NONE };
    assert_needed(Safeguard::CountedBeats, Guarantee::NoLateBeat, bounds, 0);
}

#[test]
fn a_promotion_is_a_new_server() {
    let bounds = Bounds { faults: 3, changes: 2, failovers: 2, rejoins: 1, ..Bounds::NONE };
    assert_needed(Safeguard::Promotion, Guarantee::NothingCurrentIsLost, bounds, 1);
}

fn number(name: &str, default: u8) -> u8 {
    std::env::var(name).map_or(default, |f| f.parse().expect("n"))
}

#[test]
#[ignore]
fn scratch() {
    let n = 2;
    let bounds = Bounds {
        faults: number("F", 1), changes: 2, crashes: n, freezes: 1, delays: n, lost_claims: 1, expiries: n, releases: n,
        flushes: n, restarts: n, failovers: n, behind: true, rejoins: n, lost_liveness: 1,
        lost_subscriptions: 1, moves: 1, beats: number("B", 1),
    };
    assert_kept(bounds, number("G", 0) as usize);
}
