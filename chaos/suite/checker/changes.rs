//! 8: no flapping, and 9: recovery.

use std::collections::BTreeSet;

use super::ground::{Ground, Judgement, SLACK, broken, ms};
use crate::history::{Event, Function, Kind};

/// What comes on top of the lease duration where a lease was lost, in µs.
const LOST: u64 = 100_000;

/// From the first fault on, others claim at most as often as the run allows. So does the leader itself
/// under the lease that it has. Both together bound what is neither, a claim by whoever led before under a
/// new lease: a process that was started again, say.
pub(super) fn judge_number(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Acquire, "claim")?;
    let first = ground.first_fault()?;
    let (mut others, mut same, mut all): (Vec<&Event>, Vec<&Event>, Vec<&Event>) =
        Default::default();
    let mut before: Option<&Event> = None;
    for claim in ground.ok(Function::Acquire) {
        let previous = before.replace(claim);
        let repeated = previous
            .is_some_and(|previous| (previous.term, &previous.lease) == (claim.term, &claim.lease));
        if claim.t < first.t || repeated {
            continue;
        }
        all.push(claim);
        match previous {
            Some(previous) if previous.proc == claim.proc => {
                if previous.lease == claim.lease {
                    same.push(claim);
                }
            }
            _ => others.push(claim),
        }
    }
    let run = ground.run;
    few("changes of leader", &others, run.changes)?;
    few("claims of a leader that stays", &same, run.reclaims)?;
    few("claims", &all, run.changes + run.reclaims)
}

fn few(what: &str, claims: &[&Event], allowed: usize) -> Judgement {
    match claims.get(allowed) {
        None => Ok(()),
        Some(_) => {
            let why = format!("{} {what}, where the fault may cost {allowed}", claims.len());
            let shown = &claims[allowed.saturating_sub(1)..=allowed];
            broken(why, &shown[shown.len().saturating_sub(2)..])
        }
    }
}

/// Once healed, somebody takes effect within a lease duration and 100 ms; in the end one alone acts.
pub(super) fn judge_recovery(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Acquire, "claim")?;
    let heal = ground.last_heal()?;
    let due = heal.t + ground.run.timing.lease_ms * 1000 + LOST + SLACK;
    let leads = |event: &&Event| {
        let acts = matches!(event.f, Function::Acquire | Function::Renew | Function::Publish);
        acts && event.kind == Kind::Ok && event.t >= heal.t
    };
    match ground.events.iter().find(leads) {
        None => return broken("nobody leads after the heal", &[heal]),
        Some(late) if late.t > due => {
            let after = ms(late.t - heal.t);
            return broken(format!("nobody leads until {after} ms after the heal"), &[heal, late]);
        }
        Some(_) => {}
    }
    one_in_the_end(ground, heal)
}

/// Over the last retry period: whoever leads renews or polls in it.
fn one_in_the_end(ground: &Ground<'_>, heal: &Event) -> Judgement {
    let until = ground.until();
    let from = until.saturating_sub(ground.run.timing.retry_ms * 1000 + SLACK);
    let acts = |event: &&Event| match event.f {
        Function::Renew => event.kind == Kind::Ok,
        Function::Poll => event.kind == Kind::Invoke,
        _ => false,
    };
    let last: Vec<&Event> = ground.events.iter().filter(acts).collect();
    let last = last.into_iter().filter(|event| (from..=until).contains(&event.t));
    let last: Vec<&Event> = last.collect();
    let names: BTreeSet<&str> = last.iter().map(|event| event.proc.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    match names.as_slice() {
        [_] => Ok(()),
        [] => broken("nobody leads in the end", &[heal]),
        [one, ..] => {
            let first = last.iter().find(|event| event.proc == *one);
            let other = last.iter().find(|event| event.proc != *one);
            let shown: Vec<&Event> = first.into_iter().chain(other).copied().collect();
            broken(format!("in the end {} act", names.join(" and ")), &shown)
        }
    }
}
