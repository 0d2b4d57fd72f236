//! 7: takeover in time. What is counted depends on the run's bound; all that was counted is told.

use super::ground::{Doubt, Ground, Judgement, broken, ms, unknown};
use super::level;
use crate::history::{Event, Function, Kind};
use crate::run::Bound;

/// What a bound is exceeded by before that counts, in µs: the backend is asked in steps of an interval, of
/// which the first may be nearly over, and stamps are taken by threads that may have to wait.
const RESOLUTION: u64 = 20_000;

/// Something that was counted.
pub(super) struct Counted<'a> {
    pub(super) from: &'a Event,
    pub(super) to: &'a Event,
    /// In µs.
    pub(super) time: u64,
}

/// Counts what the run's bound is about, in µs, and holds it against the bound.
pub(super) fn judge(ground: &Ground<'_>) -> (Vec<u64>, Judgement) {
    let (bound, counted) = match ground.run.bound {
        Bound::Takeover(ms) => (ms, takeovers(ground)),
        Bound::HandOver(ms) => (ms, hand_overs(ground)),
        Bound::Level(ms) => (ms, level::levels(ground)),
        Bound::None => return (Vec::new(), Ok(())),
    };
    let mut measured = Vec::new();
    let mut judgement = Ok(());
    for one in counted {
        let found = one.and_then(|Counted { from, to, time }| {
            measured.push(time);
            if time <= bound * 1000 + RESOLUTION {
                return Ok(());
            }
            broken(format!("it took {} ms, and {bound} ms are allowed", ms(time)), &[from, to])
        });
        judgement = worse(judgement, found);
    }
    if measured.is_empty() && judgement.is_ok() {
        judgement = unknown("nothing happened of what is counted");
    }
    (measured, judgement)
}

/// The first that is broken, else the first that is unknown.
fn worse(one: Judgement, other: Judgement) -> Judgement {
    match (&one, &other) {
        (Ok(()), _) | (Err(Doubt::Unknown { .. }), Err(Doubt::Broken { .. })) => other,
        _ => one,
    }
}

type Count<'a> = Result<Counted<'a>, Doubt>;

fn counted<'a>(from: &'a Event, to: &'a Event) -> Counted<'a> {
    Counted { from, to, time: to.t - from.t }
}

/// From each fault to the first poll by another than the one that led.
fn takeovers<'a>(ground: &Ground<'a>) -> Vec<Count<'a>> {
    let of_fault = |fault: &'a Event| {
        let led = ground.ok(Function::Acquire).rev().find(|claim| claim.t <= fault.t);
        let Some(led) = led else { return unknown("nobody led before the fault") };
        let next = ground
            .all(Kind::Invoke, Function::Poll)
            .find(|poll| poll.t >= fault.t && poll.proc != led.proc);
        match next {
            Some(poll) => Ok(counted(fault, poll)),
            None => broken(format!("nobody polls in place of {}", led.proc), &[led, fault]),
        }
    };
    ground.all(Kind::Invoke, Function::Fault).map(of_fault).collect()
}

/// From each release to the next claim by another. Releases when all is over are no hand-overs.
fn hand_overs<'a>(ground: &Ground<'a>) -> Vec<Count<'a>> {
    let of_release = |release: &'a Event| {
        let next = ground
            .ok(Function::Acquire)
            .find(|claim| claim.t >= release.t && claim.proc != release.proc);
        match next {
            Some(claim) => Ok(counted(release, claim)),
            None => broken("nobody claims after a release", &[release]),
        }
    };
    let judged = ground.run.ready_at..ground.until();
    ground.ok(Function::Release).filter(|event| judged.contains(&event.t)).map(of_release).collect()
}
