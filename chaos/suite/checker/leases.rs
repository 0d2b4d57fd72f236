//! 3: nobody acts without a lease.
//!
//! A replica may poll for so long ([`crate::run::Timing::acts_for_ms`]) after it *sent* the last good renewal.
//! When it sent that is not on record; that Redis did it is, and is later, so the rule here is the weaker one.

use std::collections::HashMap;

use super::ground::{Ground, Judgement, SLACK, UNSEEN, broken, ms};
use crate::history::{Event, Function, Kind};

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Invoke, Function::Poll, "poll")?;
    ground.needs(Kind::Ok, Function::Acquire, "claim")?;
    let deadline = ground.run.timing.acts_for_ms() * 1000 + SLACK;
    let watches: Vec<u64> = ground.watches().map(|watch| watch.t).collect();
    // What was done between the end of one watch and the next is not known, and may have been a renewal.
    let unseen = |poll: &Event| {
        let may_renew = |watch: &&u64| **watch <= poll.t.saturating_add(UNSEEN);
        let last = watches.iter().take_while(may_renew).last();
        last.is_some_and(|watch| poll.t <= watch + deadline)
    };
    let holds = holds(ground);
    for poll in ground.all(Kind::Invoke, Function::Poll) {
        let all = [&ground.run.pollers, &ground.run.gateways];
        if !all.iter().any(|names| names.contains(&poll.proc)) || unseen(poll) {
            continue;
        }
        let known = holds.get(poll.proc.as_str()).map(Vec::as_slice).unwrap_or_default();
        // Whoever tells of a claim may be later than who tells of the poll that it allows.
        let until = known.partition_point(|event| event.t <= poll.t.saturating_add(SLACK));
        match known[..until].last() {
            None => {
                let why = format!("{} polls and never held the lease", poll.proc);
                return broken(why, &[poll]);
            }
            Some(release) if release.f == Function::Release && release.t + SLACK < poll.t => {
                let after = ms(poll.t - release.t);
                let why = format!("{} polls {after} ms after it gave the lease back", poll.proc);
                return broken(why, &[release, poll]);
            }
            Some(last) if last.t + deadline < poll.t => {
                let after = ms(poll.t - last.t);
                let why = format!("{} polls {after} ms after its last good renewal", poll.proc);
                return broken(why, &[last, poll]);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The claims, renewals and releases of each replica.
fn holds<'a>(ground: &Ground<'a>) -> HashMap<&'a str, Vec<&'a Event>> {
    let mut holds: HashMap<&str, Vec<&Event>> = HashMap::new();
    for event in ground.events.iter().filter(|event| event.kind == Kind::Ok) {
        if matches!(event.f, Function::Acquire | Function::Renew | Function::Release) {
            holds.entry(&event.proc).or_default().push(event);
        }
    }
    holds
}
