//! 13: honest telemetry: what the metrics say in the end agrees with what was recorded.

use std::collections::{BTreeMap, HashSet};

use super::ground::{Ground, Judgement, broken, unknown};
use crate::history::{Event, Function, Kind, STARTED};

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Info, Function::Metric, "metric")?;
    let Some(record) = ground.all(Kind::Info, Function::Record).last() else {
        return unknown("what the record says in the end was not recorded");
    };
    one_leader(ground, record)?;
    changes_are_claims(ground)?;
    accepted_were_taken(ground)
}

/// The metrics of a name, whatever their labels.
fn metrics<'a>(ground: &Ground<'a>, name: &'static str) -> impl Iterator<Item = &'a Event> {
    ground.all(Kind::Info, Function::Metric).filter(move |event| {
        let note = event.note.as_deref().unwrap_or_default();
        note.split('{').next() == Some(name)
    })
}

fn value(event: &Event) -> f64 {
    event.value.unwrap_or_default()
}

fn one_leader(ground: &Ground<'_>, record: &Event) -> Judgement {
    let leading: Vec<&Event> =
        metrics(ground, "pollux_is_leader").filter(|metric| value(metric) > 0.0).collect();
    let leader = match leading.as_slice() {
        [leader] if record.note.as_deref().is_none_or(|note| note == leader.proc) => leader,
        [] => return broken("no replica says that it leads", &[record]),
        [leader] => {
            return broken(format!("{} says that it leads", leader.proc), &[record, leader]);
        }
        [one, other, ..] => return broken("two say that they lead", &[one, other]),
    };
    // Gateways take no part in this.
    let blind = |metric: &&Event| value(metric) < 1.0 && ground.run.pollers.contains(&metric.proc);
    if let Some(blind) = metrics(ground, "pollux_has_leader").find(blind) {
        return broken(format!("{} sees no leader", blind.proc), &[record, blind]);
    }
    let of_leader = |metric: &&Event| metric.proc == leader.proc;
    match (metrics(ground, "pollux_term").find(of_leader), record.term) {
        // A double holds every term that a clock gives.
        (Some(metric), Some(term)) if value(metric) != term as f64 => {
            broken("the leader's term is not that of the record", &[record, metric])
        }
        _ => Ok(()),
    }
}

/// No replica has seen more changes than there were claims; where recorders began to watch, one may be
/// missing.
fn changes_are_claims(ground: &Ground<'_>) -> Judgement {
    let terms: HashSet<u64> = ground.ok(Function::Acquire).filter_map(|claim| claim.term).collect();
    let claims = terms.len() + ground.watches().count();
    let changes = metrics(ground, "pollux_leader_changes_total");
    match changes.max_by(|one, other| value(one).total_cmp(&value(other))) {
        Some(most) if value(most) > claims as f64 => {
            broken(format!("{} counts more changes than {claims} claims", most.proc), &[most])
        }
        _ => Ok(()),
    }
}

/// Of each run id and term, the highest sequence and its publication.
type Taken<'a> = BTreeMap<(Option<&'a str>, Option<u64>), (u64, &'a Event)>;

/// A process counts no more publications as accepted than Redis took from it since it was started: in each
/// term as many as the highest sequence says. It may count fewer, where it never learned what became of
/// one.
fn accepted_were_taken(ground: &Ground<'_>) -> Judgement {
    let accepted = metrics(ground, "pollux_publications_total")
        .filter(|metric| metric.note.as_deref().is_some_and(|note| note.contains("\"accepted\"")));
    for metric in accepted {
        let started = ground
            .all(Kind::Info, Function::Process)
            .rfind(|event| {
                let note = event.note.as_deref().unwrap_or_default();
                event.proc == metric.proc && note.starts_with(STARTED)
            })
            .map_or(0, |event| event.t);
        let mut taken: Taken<'_> = BTreeMap::new();
        let its = |event: &&Event| event.proc == metric.proc && event.t >= started;
        for publication in ground.ok(Function::Publish).filter(its) {
            let key = (publication.run_id.as_deref(), publication.term);
            let sequence = publication.seq.unwrap_or_default();
            let highest = taken.entry(key).or_insert((sequence, publication));
            if sequence > highest.0 {
                *highest = (sequence, publication);
            }
        }
        let sum: u64 = taken.values().map(|(sequence, _)| sequence).sum();
        if value(metric) > sum as f64 {
            let who = &metric.proc;
            let why = format!("{who} counts more publications than the {sum} that Redis took");
            let last = taken.values().map(|(_, event)| *event).max_by_key(|event| event.t);
            let shown: Vec<&Event> = last.into_iter().chain([metric]).collect();
            return broken(why, &shown);
        }
    }
    Ok(())
}
