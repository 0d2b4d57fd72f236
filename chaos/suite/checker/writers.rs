//! 2: writers are ordered, and 11: a clean release is final. Both by each server's own order, per run id.

use std::collections::HashMap;

use pollux::model::Version;

use super::ground::{Ground, Judgement, begins_watch, broken, place};
use crate::history::{Event, Function, Kind};

/// What is known of a server under one run id.
#[derive(Default)]
struct Record<'a> {
    claim: Option<&'a Event>,
    last: Option<&'a Event>,
    /// Whether something may have been missed since the last publication.
    gap: bool,
}

/// Each publication is one of the newest claim's, by its claimant, and its sequence is the next one. A
/// batch without a publication keeps the sequence, or is beyond it by the endpoints that it says are gone.
/// Where the recorder came only then, the first may be any later one.
pub(super) fn judge_order(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Publish, "publication")?;
    let mut records: HashMap<(&str, &str), Record<'_>> = HashMap::new();
    for event in ground.events {
        match (event.f, event.kind) {
            (Function::Process, _) if begins_watch(event) => {
                for (_, record) in
                    records.iter_mut().filter(|((server, _), _)| *server == event.proc)
                {
                    (record.claim, record.gap) = (None, true);
                }
            }
            (Function::Acquire, Kind::Ok) => {
                records.entry(place(event)).or_default().claim = Some(event);
            }
            (Function::Publish, Kind::Ok) => {
                publishes(records.entry(place(event)).or_default(), event)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn publishes<'a>(record: &mut Record<'a>, event: &'a Event) -> Judgement {
    let Some(version) = event.of_version() else { return Ok(()) };
    if let Some(claim) = record.claim
        && (claim.term, &claim.proc) != (event.term, &event.proc)
    {
        let why = format!("{} publishes {version}, which is not the claimed term", event.proc);
        return broken(why, &[claim, event]);
    }
    let last = record.last.and_then(|last| Some((last, last.of_version()?)));
    match last {
        Some((last, before)) if before.term > version.term => {
            return broken(format!("{version} after {before}: terms fall"), &[last, event]);
        }
        Some((last, before)) if before.term == version.term => {
            if last.proc != event.proc {
                return broken(format!("two publish in term {}", version.term), &[last, event]);
            }
            if !comes_next(before, version, event.endpoint.is_some(), record.gap) {
                return broken(format!("{version} does not follow {before}"), &[last, event]);
            }
        }
        // The first of its term; that it begins with 1 is known only where the claim was seen.
        _ => {
            if let Some(claim) = record.claim.filter(|_| event.endpoint.is_some())
                && version.sequence != 1
            {
                return broken(format!("{version} is the first of its term"), &[claim, event]);
            }
        }
    }
    (record.last, record.gap) = (Some(event), false);
    Ok(())
}

fn comes_next(before: Version, version: Version, publishes: bool, gap: bool) -> bool {
    match (publishes, gap) {
        (true, false) => version.follows(before),
        (true, true) => version > before,
        (false, _) => version >= before,
    }
}

/// On no server does anything of a term take effect after that server took its lease back.
pub(super) fn judge_releases(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Publish, "publication")?;
    let mut released: HashMap<(Option<&str>, u64), &Event> = HashMap::new();
    for event in ground.events.iter().filter(|event| event.kind == Kind::Ok) {
        let Some(term) = event.term else { continue };
        let key = (event.server.as_deref(), term);
        match event.f {
            Function::Release => {
                released.entry(key).or_insert(event);
            }
            Function::Publish => {
                if let Some(release) = released.get(&key) {
                    let why = format!("{} publishes after it released {term}", event.proc);
                    return broken(why, &[release, event]);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
