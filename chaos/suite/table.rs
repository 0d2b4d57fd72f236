//! What runs came to, in a line each and in a table.

use std::collections::BTreeMap;

use crate::checker::State;
use crate::conduct::Made;
use crate::fault::Made as How;
use crate::faults::ALL;
use crate::run::{Bound, Timing};
use crate::trial::{PAIRS, PAIRS_NUMBER};

/// A run in a line.
pub(crate) fn line(made: &Made, timing: &Timing) -> String {
    let Made { trial, verdict, directory } = made;
    let measured = verdict.measured.iter().max().map(|worst| ms(*worst)).unwrap_or_default();
    let mut line = format!(
        "{:<8} {:>2} {:<24} seed {:<6} {:>9} of {}",
        word(verdict.state),
        trial.number(),
        trial.name(),
        trial.seed,
        measured,
        bound(trial.bound(timing)),
    );
    if verdict.state != State::Valid {
        line.push_str(&format!("\n         {}\n         {}", verdict.why(), directory.display()));
    }
    line
}

/// All faults in the order of the table, with the runs that were made of each.
pub(crate) fn markdown(runs: &[Made], timing: &Timing) -> String {
    let mut table = String::from(
        "| # | fault | bound | runs | p50 | worst | verdict |\n|---|---|---|---|---|---|---|\n",
    );
    let mut by_name: BTreeMap<(u8, usize, String), Vec<&Made>> = BTreeMap::new();
    for made in runs {
        let place = ALL.iter().position(|fault| fault.name == made.trial.fault.name);
        let key = match made.trial.second {
            Some(_) => (made.trial.number(), ALL.len(), "two at once, by seed".to_owned()),
            None => (made.trial.number(), place.unwrap_or_default(), made.trial.title()),
        };
        by_name.entry(key).or_default().push(made);
    }
    for ((number, _, title), runs) in by_name {
        let mut measured: Vec<u64> =
            runs.iter().filter_map(|made| made.verdict.measured.iter().max().copied()).collect();
        measured.sort_unstable();
        let middle = measured.get(measured.len() / 2).map_or_else(|| "–".to_owned(), |at| ms(*at));
        let worst = measured.last().map_or_else(|| "–".to_owned(), |at| ms(*at));
        let bound = bound(runs[0].trial.bound(timing));
        let (count, verdict) = (runs.len(), together(&runs));
        table.push_str(&format!(
            "| {number} | {title} | {bound} | {count} | {middle} | {worst} | {verdict} |\n"
        ));
    }
    table
}

/// What several runs came to.
fn together(runs: &[&Made]) -> String {
    let of = |state| runs.iter().filter(|made| made.verdict.state == state).count();
    match (of(State::Invalid), of(State::Unknown)) {
        (0, 0) => "valid".to_owned(),
        (0, unknown) => format!("{unknown} unknown"),
        (invalid, 0) => format!("{invalid} **invalid**"),
        (invalid, unknown) => format!("{invalid} **invalid**, {unknown} unknown"),
    }
}

/// All faults, and which of them cannot be made here.
pub(crate) fn list(timing: &Timing) -> String {
    let mut list = String::new();
    for fault in &ALL {
        list.push_str(&format!("{:>2} {:<26} {}", fault.number, fault.name, fault.title));
        list.push_str(&match fault.made {
            How::Here(_) => format!(" ({})\n", bound((fault.bound)(timing))),
            How::Elsewhere(why) => format!("\n   not made here: {why}\n"),
        });
    }
    list + &format!("{PAIRS_NUMBER:>2} {PAIRS:<26} two of these at once, by seed\n")
}

fn word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Invalid => "INVALID",
        State::Unknown => "unknown",
    }
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::Takeover(ms) => format!("takeover ≤ {ms} ms"),
        Bound::HandOver(ms) => format!("handover ≤ {ms} ms"),
        Bound::Level(ms) => format!("level ≤ {ms} ms"),
        Bound::None => "invariants".to_owned(),
    }
}

fn ms(us: u64) -> String {
    format!("{:.0} ms", us as f64 / 1000.0)
}

/// The worst of all verdicts.
pub(crate) fn worst(runs: &[Made]) -> State {
    let has = |state| runs.iter().any(|made| made.verdict.state == state);
    match (has(State::Invalid), has(State::Unknown) || runs.is_empty()) {
        (true, _) => State::Invalid,
        (false, true) => State::Unknown,
        (false, false) => State::Valid,
    }
}
