//! 14: the backend sees one poller. Requests follow the schedule, but for one with each claim, and for one
//! retry period where the old leader could not be told that it leads no more. A backend that asks for rest
//! gets it.

use super::ground::{Ground, Judgement, SLACK, broken, ms};
use crate::history::{Event, Function, Kind, REST};

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Invoke, Function::Poll, "poll")?;
    ground.needs(Kind::Ok, Function::Acquire, "claim")?;
    let from = ground.run.ready_at;
    let to = ground.events.last().map_or(from, |event| event.t);
    let (claims, untold) = claims(ground, from);
    for endpoint in &ground.run.endpoints {
        let every = endpoint.every_ms.max(1);
        let is_of = |poll: &&Event| {
            poll.t >= from && poll.endpoint.as_deref() == Some(endpoint.name.as_str())
        };
        let polls: Vec<&Event> = ground.all(Kind::Invoke, Function::Poll).filter(is_of).collect();
        let schedule = (to - from) / (every * 1000) + 1;
        let allowed = schedule + claims + untold * (ground.run.timing.retry_ms / every + 1);
        if polls.len() as u64 > allowed {
            let (name, count) = (&endpoint.name, polls.len());
            let why = format!("{count} polls of {name}, where {allowed} are allowed");
            return broken(why, closest(&polls).as_slice());
        }
    }
    rest(ground)
}

/// Nobody polls an endpoint before the time that its backend named.
fn rest(ground: &Ground<'_>) -> Judgement {
    for told in ground.all(Kind::Fail, Function::Poll) {
        let Some(wait) = told.error.as_deref().and_then(|error| error.strip_prefix(REST)) else {
            continue;
        };
        let until = told.t + wait.parse::<u64>().unwrap_or_default() * 1000;
        // One that was under way could not know.
        let early = |poll: &&Event| {
            poll.endpoint == told.endpoint && poll.t > told.t + SLACK && poll.t + SLACK < until
        };
        if let Some(poll) = ground.all(Kind::Invoke, Function::Poll).find(early) {
            let (name, after) = (told.endpoint.as_deref().unwrap_or_default(), ms(poll.t - told.t));
            let why = format!("{name} is polled {after} ms after its backend asked for {wait} ms");
            return broken(why, &[told, poll]);
        }
    }
    Ok(())
}

/// How many claims there were since then, and before how many of them the old leader could not be told:
/// no release came after the claim before. What was done before a recorder watched may be one of these.
fn claims(ground: &Ground<'_>, from: u64) -> (u64, u64) {
    let (mut claims, mut untold, mut released) = (0, 0, false);
    for event in ground.events.iter().filter(|event| event.kind == Kind::Ok) {
        match event.f {
            Function::Release => released = true,
            Function::Acquire => {
                if event.t >= from {
                    claims += 1;
                    untold += u64::from(!released);
                }
                released = false;
            }
            _ => {}
        }
    }
    let unseen = ground.watches().filter(|watch| watch.t >= from).count() as u64;
    (claims + unseen, untold + unseen)
}

/// The two polls that came closest after one another.
fn closest<'a>(polls: &[&'a Event]) -> Vec<&'a Event> {
    let closest = polls.windows(2).min_by_key(|pair| pair[1].t - pair[0].t);
    closest.map(<[&Event]>::to_vec).unwrap_or_default()
}
