//! 1: terms are unique. A leadership is a term and a lease's value; claims grow; and no term is published
//! under twice, since then two publications would have one version.

use std::collections::HashMap;

use super::ground::{Ground, Judgement, SLACK, broken, place};
use crate::history::{Event, Function, Kind};

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Acquire, "claim")?;
    claims_grow(ground)?;
    terms_are_published_once(ground)
}

/// On one server by its own order; from one server to another only where the stamps leave no doubt which
/// claim was first. The same leadership may claim again.
fn claims_grow(ground: &Ground<'_>) -> Judgement {
    let mut leaderships: HashMap<(Option<u64>, Option<&str>), &Event> = HashMap::new();
    let mut before: Vec<&Event> = Vec::new();
    for claim in ground.ok(Function::Acquire) {
        let first = *leaderships.entry((claim.term, claim.lease.as_deref())).or_insert(claim);
        if first.proc != claim.proc {
            let why = format!("{} and {} hold one lease and term", first.proc, claim.proc);
            return broken(why, &[first, claim]);
        }
        if !std::ptr::eq(first, claim) {
            continue;
        }
        let earlier = before.iter().filter(|earlier| {
            earlier.server == claim.server || earlier.t.saturating_add(SLACK) < claim.t
        });
        let Some(highest) = earlier.max_by_key(|earlier| earlier.term) else {
            before.push(claim);
            continue;
        };
        // Elsewhere a number may repeat, as long as it is published under in one place.
        let elsewhere = highest.server != claim.server && highest.term == claim.term;
        if highest.term >= claim.term && !elsewhere {
            return broken("a claim has no higher term than one before", &[highest, claim]);
        }
        before.push(claim);
    }
    Ok(())
}

fn terms_are_published_once(ground: &Ground<'_>) -> Judgement {
    let mut writers: HashMap<u64, &Event> = HashMap::new();
    for publication in ground.ok(Function::Publish).filter(|event| event.endpoint.is_some()) {
        let Some(term) = publication.term else { continue };
        let first = *writers.entry(term).or_insert(publication);
        if place(first) != place(publication) || first.proc != publication.proc {
            let why = format!("term {term} is published under twice");
            return broken(why, &[first, publication]);
        }
    }
    Ok(())
}
