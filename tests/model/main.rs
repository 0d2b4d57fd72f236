//! A model of the protocol, visited state by state.
//!
//! Modelled: two servers (one at the address that new connections lead to, one its lagging replica
//! until it is promoted; the one that was replaced lives on for those still connected); the scripts
//! as atomic steps on lease, record and one endpoint's snapshot; two replicas with their connections
//! for lease, publications and liveness, which may lead to different servers; batches that arrive
//! late, repeated or in any order; probe, confirmation and reap; gateways that subscribe, read the
//! record's version, read the snapshot and follow; a client that goes from one to the other. A
//! clock is either ahead of all terms ever claimed, or behind them all.
//!
//! Not modelled: durations (a lease ends when nobody renews it, or by a fault), more than one
//! endpoint, the history, several publications in a batch, ages, presence, abdication. Messages to
//! a gateway are heard at once unless it is reading. A process that dies is started again.
//!
//! Bounds: every test names how often each fault may happen, and how many in all; acquisitions,
//! claims and publications follow from those. States that differ only in which replica is which,
//! or in the values of leases, count once.
//!
//! Where a server's clock is behind and no replica that claims knew the last term, numbers may
//! repeat: that is excepted from the first and the third guarantee until terms have passed it.
//!
//! Two safeguards are in the model, and in no script yet: `Promotion` (the run id of a server stays
//! when it is promoted, so one that was primary before and comes back behind counts as the same)
//! and `CountedBeats` (an empty batch leaves the record as it was, so a late copy is accepted).
//! For `CountedBeats` a test shows what can happen as long as it is missing; for `Promotion` and
//! for `RunId` no counterexample has been found yet, and their tests are ignored.
//!
//! The larger bounds: `cargo test --release --test model -- --ignored`. The shortest path of each
//! counterexample is printed with `--nocapture`.

#![allow(unreachable_pub, reason = "the modules of one test target")]

mod cluster;
mod faults;
mod properties;
mod publisher;
mod reader;
mod replica;
mod safeguards;
mod server;
mod standby;

use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use cluster::{Cluster, State};
use faults::Bounds;
use properties::Guarantee;
use safeguards::{Safeguard, Safeguards};

/// Visits every state within the bounds; none may break a guarantee.
fn assert_kept(bounds: Bounds, gateways: usize) {
    let started = Instant::now();
    let guarantees = Guarantee::ALL.to_vec();
    let model = Cluster { safeguards: Safeguards::ALL, bounds, gateways, guarantees };
    // One thread: the tests themselves run side by side.
    let checker = model
        .checker()
        .symmetry_fn(State::representative)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_dfs()
        .join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    eprintln!("{states} states in {:.1?} keep all guarantees: {bounds:?}", started.elapsed());
}

/// Finds the shortest way in which a guarantee breaks without a safeguard, and prints it.
fn assert_needed(safeguard: Safeguard, guarantee: Guarantee, bounds: Bounds, gateways: usize) {
    assert_kept(bounds, gateways);
    let started = Instant::now();
    let safeguards = Safeguards::ALL.without(safeguard);
    let model = Cluster { safeguards, bounds, gateways, guarantees: vec![guarantee] };
    let checker = model.checker().symmetry_fn(State::representative).spawn_dfs().join();
    let states = checker.unique_state_count();
    let found = checker.discovery(guarantee.name());
    let path = found.unwrap_or_else(|| {
        panic!("{states} states without {safeguard:?} keep: {}", guarantee.name())
    });
    let took = started.elapsed();
    eprintln!("{states} states in {took:.1?} without {safeguard:?} break: {}", guarantee.name());
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
    let bounds = Bounds { faults: 2, changes: 1, failovers: 1, gone: true, freezes: 1, ..Bounds::NONE };
    assert_needed(Safeguard::RunId, Guarantee::ReadersHoldWhatTheStoreHolds, bounds, 1);
}

#[test]
fn the_highest_term_seen_counts_where_the_clock_is_behind() {
    let bounds = Bounds { faults: 1, failovers: 1, behind: true, ..Bounds::NONE };
    assert_needed(Safeguard::HighestSeen, Guarantee::UniqueLeaderships, bounds, 0);
}

#[test]
fn a_spent_term_is_given_back_when_a_server_returns() {
    let bounds = Bounds { faults: 2, changes: 1, failovers: 2, alone: true, ..Bounds::NONE };
    assert_needed(Safeguard::SpentTerm, Guarantee::NothingCurrentIsLost, bounds, 1);
}

#[test]
fn the_base_brings_back_what_a_rolled_back_store_lost() {
    let bounds = Bounds { faults: 1, changes: 2, failovers: 1, alone: true, ..Bounds::NONE };
    assert_needed(Safeguard::Base, Guarantee::NothingCurrentIsLost, bounds, 1);
}

#[test]
fn readers_filter_by_version() {
    let bounds = Bounds { faults: 1, changes: 1, failovers: 1, alone: true, ..Bounds::NONE };
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
fn a_late_beat_is_dropped() {
    let bounds = Bounds { faults: 1, delays: 1, beats: 2, ..Bounds::NONE };
    assert_needed(Safeguard::DatedBeats, Guarantee::NoLateBeat, bounds, 0);
}

#[test]
fn a_client_that_changes_gateways_goes_on_where_it_was() {
    let bounds =
        Bounds { faults: 2, changes: 1, lost_subscriptions: 1, moves: 1, alone: true, ..Bounds::NONE };
    assert_needed(Safeguard::Resumption, Guarantee::ReaderNeverGoesBack, bounds, 2);
}

#[test]
#[ignore = "x"]
fn double_a() {
    let bounds = Bounds { faults: 3, changes: 2, crashes: 1, failovers: 2, gone: true, alone: true, ..Bounds::NONE };
    assert_kept(bounds, 1);
}
#[test]
#[ignore = "x"]
fn double_b() {
    let bounds = Bounds { faults: 3, changes: 1, freezes: 1, failovers: 2, gone: true, ..Bounds::NONE };
    assert_kept(bounds, 1);
}
#[test]
#[ignore = "x"]
fn two_a() {
    let bounds = Bounds { faults: 3, changes: 2, lost_subscriptions: 1, moves: 1, failovers: 1, alone: true, ..Bounds::NONE };
    assert_kept(bounds, 2);
}
#[test]
#[ignore = "x"]
fn two_b() {
    let bounds = Bounds { faults: 2, changes: 1, moves: 1, failovers: 1, alone: true, ..Bounds::NONE };
    assert_kept(bounds, 2);
}
#[test]
#[ignore = "x"]
fn beats_a() {
    let bounds = Bounds { faults: 3, changes: 1, delays: 2, crashes: 1, beats: 3, ..Bounds::NONE };
    assert_kept(bounds, 0);
}
#[test]
#[ignore = "x"]
fn beats_b() {
    let bounds = Bounds { faults: 2, changes: 1, delays: 1, flushes: 1, beats: 2, ..Bounds::NONE };
    assert_kept(bounds, 0);
}

#[test]
fn one_fault_of_any_kind_breaks_no_guarantee() {
    let bounds = Bounds { faults: 1, changes: 1, ..EVERYTHING };
    assert_kept(bounds, 0);
}

#[test]
fn a_failover_under_the_eyes_of_a_gateway_breaks_no_guarantee() {
    let bounds = Bounds { faults: 1, changes: 2, failovers: 1, alone: true, ..Bounds::NONE };
    assert_kept(bounds, 1);
}

#[test]
fn late_batches_and_lost_data_break_no_guarantee() {
    let bounds = Bounds { faults: 2, changes: 1, delays: 1, flushes: 1, ..Bounds::NONE };
    assert_kept(bounds, 0);
}

#[test]
#[ignore = "minutes, and gigabytes of memory"]
fn one_fault_of_any_kind_under_the_eyes_of_a_gateway_breaks_no_guarantee() {
    let bounds = Bounds { faults: 1, changes: 2, ..EVERYTHING };
    assert_kept(bounds, 1);
}

/// Every kind of fault.
const EVERYTHING: Bounds = Bounds {
    alone: false,
    faults: 1,
    changes: 1,
    crashes: 1,
    freezes: 1,
    delays: 1,
    lost_claims: 1,
    expiries: 1,
    releases: 1,
    flushes: 1,
    restarts: 1,
    failovers: 1,
    gone: false,
    behind: true,
    rejoins: 1,
    lost_liveness: 1,
    lost_subscriptions: 1,
    moves: 1,
    beats: 0,
};
