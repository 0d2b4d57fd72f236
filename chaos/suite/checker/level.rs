//! How long it takes from a heal until one leads and all readers are level.
//!
//! One leads once Redis takes a batch. A reader is level once it holds, of each endpoint that it asks for,
//! at least what was published last before the heal, and of the endpoint that changes most often what was
//! published first after it, and once its stream is open again if the fault ended it. What counts is what the server took that was the primary in the end: another
//! may have taken what is lost, and is passed by terms. Readers that ask now and then count by their last
//! answer that was too old; those that read slowly or were made to stop do not count, since their own
//! pauses would.

use std::collections::HashMap;

use pollux::model::Version;

use super::ground::{Doubt, Ground, broken, unknown};
use super::readers::{Reader, is_slow};
use super::reads::asks_for;
use super::takeover::Counted;
use crate::history::{Event, Function, Kind};

/// How much later than the heal a stream may end by the fault, in µs: thousands may take their time.
const ENDS: u64 = 1_000_000;

type Count<'a> = Result<Counted<'a>, Doubt>;

/// From each heal.
pub(super) fn levels<'a>(ground: &Ground<'a>) -> Vec<Count<'a>> {
    let heals: Vec<&Event> = ground.all(Kind::Info, Function::Fault).collect();
    heals.into_iter().map(|heal| level_after(ground, heal)).collect()
}

fn level_after<'a>(ground: &Ground<'a>, heal: &'a Event) -> Count<'a> {
    let taken = taken(ground);
    let Some(leads) = taken.iter().copied().find(|event| event.t >= heal.t) else {
        return broken("nobody leads after the heal", &[heal]);
    };
    let aims = aims(ground, &taken, heal);
    if aims.is_empty() {
        return unknown("nothing was published that readers could be level with");
    }
    let mut last = leads;
    let since = ground.first_fault()?.t;
    for (name, reader) in &ground.readers {
        if is_slow(name) || reader.pauses_within(since, heal.t) {
            continue;
        }
        if let Some(again) = open_again(name, reader, since, heal)?
            && again.t > last.t
        {
            last = again;
        }
        for aim in aims.values().filter(|aim| asks(reader, aim)) {
            let reached = if reader.streams() {
                first_with(reader, aim, heal.t)
            } else {
                Some(last_without(reader, aim, heal.t).unwrap_or(aim))
            };
            match reached {
                Some(event) if event.t > last.t => last = event,
                Some(_) => {}
                None => {
                    return broken(format!("{name} never got this or a newer one"), &[heal, aim]);
                }
            }
        }
    }
    Ok(Counted { from: heal, to: last, time: last.t - heal.t })
}

/// What the server took that was the primary in the end.
fn taken<'a>(ground: &Ground<'a>) -> Vec<&'a Event> {
    let last = ground.ok(Function::Publish).last().and_then(|event| event.server.as_ref());
    ground.ok(Function::Publish).filter(|event| event.server.as_ref() == last).collect()
}

/// The publication of each endpoint that readers must have.
fn aims<'a>(ground: &Ground<'_>, taken: &[&'a Event], heal: &Event) -> HashMap<&'a str, &'a Event> {
    let mut aims = HashMap::new();
    let most_often = ground.run.endpoints.iter().min_by_key(|endpoint| endpoint.every_ms);
    for event in taken {
        let Some(endpoint) = event.endpoint.as_deref() else { continue };
        if event.t < heal.t {
            aims.insert(endpoint, *event);
        } else if most_often.is_some_and(|often| often.name == endpoint) {
            aims.insert(endpoint, *event);
            break;
        }
    }
    aims
}

/// That the stream that the fault ended last was open again, if that was after the heal.
fn open_again<'a>(
    name: &str,
    reader: &Reader<'a>,
    since: u64,
    heal: &Event,
) -> Result<Option<&'a Event>, Doubt> {
    let mut last: Option<&Event> = None;
    for (number, connection) in reader.connections.iter().enumerate() {
        let ended = connection.ended.filter(|ended| (since..heal.t + ENDS).contains(ended));
        if ended.is_none() || connection.left || connection.taken_on.is_none() {
            continue;
        }
        last = reader.connections[number + 1..].iter().find_map(|next| next.taken_on);
        if last.is_none() {
            return broken(format!("{name} never had a stream again"), &[heal]);
        }
    }
    Ok(last.filter(|opened| opened.t >= heal.t))
}

fn asks(reader: &Reader<'_>, aim: &Event) -> bool {
    aim.endpoint.as_deref().is_some_and(|endpoint| asks_for(reader, endpoint))
}

fn of_aim<'r, 'a>(reader: &'r Reader<'a>, aim: &'r Event) -> impl Iterator<Item = &'a Event> + 'r {
    reader.reads.iter().copied().filter(|read| read.endpoint == aim.endpoint)
}

/// When a stream first had it: at the heal, or later.
fn first_with<'a>(reader: &Reader<'a>, aim: &'a Event, heal: u64) -> Option<&'a Event> {
    let aimed = version(aim);
    let mut held = None;
    for read in of_aim(reader, aim).filter(|read| version(read) >= aimed) {
        if read.t >= heal {
            return held.or(Some(read));
        }
        held = Some(read);
    }
    held
}

/// The last answer of less than that, once all could have it.
fn last_without<'a>(reader: &Reader<'a>, aim: &Event, heal: u64) -> Option<&'a Event> {
    let aimed = version(aim);
    let late = |read: &&Event| read.t >= aim.t.max(heal) && version(read) < aimed;
    of_aim(reader, aim).filter(late).last()
}

fn version(event: &Event) -> Version {
    event.of_version().unwrap_or(Version::NONE)
}
