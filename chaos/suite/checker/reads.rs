//! What readers get: 4, in order; 5, in the end the newest; 10, bodies that the endpoint served, whole.

use std::collections::{HashMap, HashSet};

use pollux::model::Version;

use super::ground::{Ground, Judgement, SLACK, broken, unknown};
use super::readers::{Connection, Reader};
use crate::history::{Event, Function, Kind};

/// How long before quiet a reader must have been heard of last to be one that still reads, in µs.
const READS_STILL: u64 = 3_000_000;

/// On a stream versions grow from what its client said that it has; asked again and again for an endpoint
/// by one that says what it has, gateways give nothing older.
pub(super) fn judge_order(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Read, "read")?;
    for reader in ground.readers.values() {
        if !reader.streams() {
            never_older(&reader.reads)?;
        }
        for connection in &reader.connections {
            grows(connection)?;
        }
    }
    Ok(())
}

fn grows(connection: &Connection<'_>) -> Judgement {
    let (mut before, mut cursor) = (connection.begun, connection.said());
    for read in connection.events.iter().filter(|event| event.f == Function::Read) {
        let Some(version) = read.of_version() else { continue };
        if version <= cursor {
            let why = format!("{} has {cursor} and is given {version}", read.proc);
            return broken(why, &[before, read]);
        }
        (before, cursor) = (read, version);
    }
    Ok(())
}

fn never_older(reads: &[&Event]) -> Judgement {
    let mut held: HashMap<&str, (&Event, Version)> = HashMap::new();
    for read in reads {
        let (Some(endpoint), Some(version)) = (read.endpoint.as_deref(), read.of_version()) else {
            continue;
        };
        match held.get(endpoint) {
            Some((before, has)) if version < *has => {
                let why = format!("{} has {has} of {endpoint} and is given {version}", read.proc);
                return broken(why, &[before, read]);
            }
            _ => held.insert(endpoint, (read, version)),
        };
    }
    Ok(())
}

/// Once quiet, what every reader got last is what Redis holds, and that is what it took last.
pub(super) fn judge_end(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Publish, "publication")?;
    ground.needs(Kind::Ok, Function::Read, "read")?;
    for endpoint in &ground.run.endpoints {
        let name = endpoint.name.as_str();
        let is_snapshot = |event: &&Event| event.endpoint.as_deref() == Some(name);
        let snapshots = || ground.all(Kind::Info, Function::Snapshot).filter(is_snapshot);
        for snapshot in snapshots() {
            if let Some(last) = last_publication(ground, &snapshot.proc, name)
                && last.hash != snapshot.hash
                // One that follows another server now may hold what that took later.
                && last.of_version() >= snapshot.of_version()
            {
                let why = format!("{} lost the last publication of {name}", snapshot.proc);
                return broken(why, &[last, snapshot]);
            }
        }
        // Where quiet never came nobody may have asked what Redis holds.
        let newest = snapshots().max_by_key(|event| event.of_version());
        let newest = newest.or_else(|| newest_publication(ground, name));
        let Some(newest) = newest else {
            return unknown(format!("nothing is known of what Redis holds of {name}"));
        };
        for (reader, got) in &ground.readers {
            level(ground, reader, got, name, newest)?;
        }
    }
    if ground.run.quiet_at.is_none() {
        return broken("all had time to be level, and the cluster never became quiet", &[]);
    }
    ground.needs(Kind::Info, Function::Snapshot, "snapshot")
}

fn last_publication<'a>(ground: &Ground<'a>, server: &str, endpoint: &str) -> Option<&'a Event> {
    ground.ok(Function::Publish).rev().find(|event| {
        event.server.as_deref() == Some(server) && event.endpoint.as_deref() == Some(endpoint)
    })
}

fn newest_publication<'a>(ground: &Ground<'a>, endpoint: &str) -> Option<&'a Event> {
    ground
        .ok(Function::Publish)
        .filter(|event| event.endpoint.as_deref() == Some(endpoint))
        .max_by_key(|event| event.of_version())
}

fn level(
    ground: &Ground<'_>,
    name: &str,
    reader: &Reader<'_>,
    endpoint: &str,
    newest: &Event,
) -> Judgement {
    if !reads_still(reader, ground.until()) || !asks_for(reader, endpoint) {
        return Ok(());
    }
    let of_endpoint =
        |event: &&&Event| event.endpoint.as_deref() == Some(endpoint) && event.hash.is_some();
    match reader.reads.iter().rev().find(of_endpoint) {
        None => broken(format!("{name} never got {endpoint}"), &[newest]),
        Some(last) if last.hash != newest.hash => {
            broken(format!("{name} is left with an old {endpoint}"), &[newest, last])
        }
        Some(_) => Ok(()),
    }
}

/// Whether it had a stream or an answer shortly before `until`.
fn reads_still(reader: &Reader<'_>, until: u64) -> bool {
    let recent = until.saturating_sub(READS_STILL);
    let had = |connection: &Connection<'_>| {
        connection.opened().is_some() && connection.ended.is_none_or(|ended| ended >= recent)
    };
    reader.connections.iter().any(had)
        || !reader.streams() && reader.reads.last().is_some_and(|read| read.t >= recent)
}

pub(super) fn asks_for(reader: &Reader<'_>, endpoint: &str) -> bool {
    match reader.connections.last() {
        Some(connection) => connection.follows(endpoint),
        None => reader.reads.iter().any(|read| read.endpoint.as_deref() == Some(endpoint)),
    }
}

/// Every body that Redis or a reader got was served by that endpoint before. Who tells that it was served
/// may be a moment later than who got it.
pub(super) fn judge_bodies(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Poll, "answer of the backend")?;
    ground.needs(Kind::Ok, Function::Read, "read")?;
    if let Some(odd) = ground.all(Kind::Fail, Function::Read).next() {
        return broken(format!("{} got what nobody should be given", odd.proc), &[odd]);
    }
    let mut served: HashMap<(&str, &str), u64> = HashMap::new();
    let mut elsewhere: HashSet<&str> = HashSet::new();
    for poll in ground.ok(Function::Poll) {
        if let (Some(endpoint), Some(hash)) = (&poll.endpoint, &poll.hash) {
            served.entry((endpoint, hash)).or_insert(poll.t);
            elsewhere.insert(hash);
        }
    }
    let got = |event: &&Event| {
        event.kind == Kind::Ok && matches!(event.f, Function::Publish | Function::Read)
    };
    for event in ground.events.iter().filter(got) {
        let (Some(endpoint), Some(hash)) = (&event.endpoint, &event.hash) else { continue };
        match served.get(&(endpoint.as_str(), hash.as_str())) {
            Some(t) if *t <= event.t.saturating_add(SLACK) => {}
            None if elsewhere.contains(hash.as_str()) => {
                return broken(format!("a body of another endpoint under {endpoint}"), &[event]);
            }
            _ => return broken(format!("{endpoint} never served this body whole"), &[event]),
        }
    }
    Ok(())
}
