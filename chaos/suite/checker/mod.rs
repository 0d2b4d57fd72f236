//! Whether a run kept the promises: its facts and its history in, a verdict out, and nothing else.
//!
//! Versions are unique and totally ordered, so one pass over the sorted records decides each promise;
//! nothing is searched for. A rule accuses only where no order of things that fits the record would
//! excuse it: what the recorders may have missed, and how late a busy machine may stamp something, is
//! granted (see [`ground`]).

mod changes;
mod ground;
mod isolation;
mod leases;
mod level;
mod polls;
pub(crate) mod readers;
mod reads;
mod staleness;
mod takeover;
mod telemetry;
mod terms;
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
pub(crate) mod tests;
mod writers;

use serde::{Deserialize, Serialize};

use self::ground::{Doubt, Ground, Judgement};
use crate::history::{Event, Function, Kind};
use crate::run::{Invariant, Run};

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// The fault landed, everything was recorded, and every promise was kept.
    Valid,
    /// A promise was broken.
    Invalid,
    /// It says nothing: no promise was seen broken, but not all could be judged.
    Unknown,
}

/// What was found about an invariant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "lowercase")]
pub(crate) enum Finding {
    Held,
    Broken {
        /// What is wrong, in a sentence.
        why: String,
        /// The few events that show it.
        excerpt: Vec<Event>,
    },
    /// It could not be judged.
    Unknown {
        why: String,
    },
    /// The run does not claim it.
    Spared,
}

/// An invariant and what was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub invariant: Invariant,
    #[serde(flatten)]
    pub finding: Finding,
}

/// What was found. In the run's directory as `verdict.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub state: State,
    /// Why nothing can be said, beside what the invariants tell: the fault did not land, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub invariants: Vec<Entry>,
    /// What the run's bound counts, each time it could be counted, in µs.
    pub measured: Vec<u64>,
}

impl Verdict {
    /// Of a run that says nothing, for that reason.
    pub(crate) fn unknown(reason: &str) -> Self {
        Self {
            state: State::Unknown,
            reason: Some(reason.to_owned()),
            invariants: Vec::new(),
            measured: Vec::new(),
        }
    }

    /// Why it is not valid, in a sentence: what is broken, or else what is not known.
    pub(crate) fn why(&self) -> String {
        let of = |entry: &Entry| match &entry.finding {
            Finding::Broken { why, .. } if self.state == State::Invalid => {
                Some(format!("{}: {why}", entry.invariant.title()))
            }
            Finding::Unknown { why } if self.state == State::Unknown => {
                Some(format!("{}: {why}", entry.invariant.title()))
            }
            _ => None,
        };
        let reason = self.reason.clone().filter(|_| self.state == State::Unknown);
        reason.or_else(|| self.invariants.iter().find_map(of)).unwrap_or_default()
    }
}

impl Invariant {
    /// The promise in a few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::TermsAreUnique => "Terms are unique",
            Self::WritersAreOrdered => "Writers are ordered",
            Self::NobodyActsWithoutALease => "Nobody acts without a lease",
            Self::ReadsAreMonotonic => "Reads are monotonic",
            Self::NothingCurrentIsLost => "Nothing current is lost",
            Self::StalenessIsSaid => "Staleness is said",
            Self::TakeoverInTime => "Takeover in time",
            Self::NoFlapping => "No flapping",
            Self::Recovery => "Recovery",
            Self::Integrity => "Integrity",
            Self::ReleaseIsFinal => "A clean release is final",
            Self::Isolation => "Isolation",
            Self::HonestTelemetry => "Honest telemetry",
            Self::OnePoller => "One poller",
        }
    }
}

/// Judges a run by its history, which is sorted by time.
pub(crate) fn check(run: &Run, history: &[Event]) -> Verdict {
    let ground = Ground::of(run, history);
    let (measured, in_time) = takeover::judge(&ground);
    let mut invariants = Vec::new();
    for invariant in Invariant::ALL {
        let finding = if run.spared.contains(&invariant) {
            Finding::Spared
        } else {
            finding(judge(invariant, &ground, &in_time))
        };
        invariants.push(Entry { invariant, finding });
    }
    let reason = doubtful(&ground);
    let is = |wanted: fn(&Finding) -> bool| invariants.iter().any(|entry| wanted(&entry.finding));
    let state = if is(|finding| matches!(finding, Finding::Broken { .. })) {
        State::Invalid
    } else if reason.is_some() || is(|finding| matches!(finding, Finding::Unknown { .. })) {
        State::Unknown
    } else {
        State::Valid
    };
    Verdict { state, reason, invariants, measured }
}

fn judge(invariant: Invariant, ground: &Ground<'_>, in_time: &Judgement) -> Judgement {
    match invariant {
        Invariant::TermsAreUnique => terms::judge(ground),
        Invariant::WritersAreOrdered => writers::judge_order(ground),
        Invariant::NobodyActsWithoutALease => leases::judge(ground),
        Invariant::ReadsAreMonotonic => reads::judge_order(ground),
        Invariant::NothingCurrentIsLost => reads::judge_end(ground),
        Invariant::StalenessIsSaid => staleness::judge(ground),
        Invariant::TakeoverInTime => in_time.clone(),
        Invariant::NoFlapping => changes::judge_number(ground),
        Invariant::Recovery => changes::judge_recovery(ground),
        Invariant::Integrity => reads::judge_bodies(ground),
        Invariant::ReleaseIsFinal => writers::judge_releases(ground),
        Invariant::Isolation => isolation::judge(ground),
        Invariant::HonestTelemetry => telemetry::judge(ground),
        Invariant::OnePoller => polls::judge(ground),
    }
}

fn finding(judgement: Judgement) -> Finding {
    match judgement {
        Ok(()) => Finding::Held,
        Err(Doubt::Broken { why, excerpt }) => Finding::Broken { why, excerpt },
        Err(Doubt::Unknown { why }) => Finding::Unknown { why },
    }
}

/// Why a run cannot be valid, however well everything looks.
fn doubtful(ground: &Ground<'_>) -> Option<String> {
    let last = ground.all(Kind::Invoke, Function::Fault).last();
    let landed = ground.all(Kind::Ok, Function::Fault).last();
    match (last, landed) {
        (None, _) => Some("no fault was made".to_owned()),
        (Some(fault), landed) if landed.is_none_or(|landed| landed.t < fault.t) => {
            let what = fault.note.as_deref().unwrap_or("the fault");
            Some(format!("it was not seen that this landed: {what}"))
        }
        _ if ground.run.quiet_at.is_none() => Some("quiet never came".to_owned()),
        _ => None,
    }
}
