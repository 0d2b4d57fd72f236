//! 6: staleness is said, and nothing fresh is called stale.
//!
//! That an endpoint was checked is known to all by what Redis took: a good check is never newer than that,
//! and at most [`BEAT`] older while Redis answers. So:
//! - where Redis took no check for `stale_after` and a second, every stream must have been told, whoever
//!   is cut off from whom: gateways age endpoints by themselves;
//! - a stream that was just given a young body must be told within a second that its endpoint is fresh,
//!   and cannot be told that it is stale;
//! - while nothing is wrong, before the first fault and some time after the last heal, the same holds for
//!   each check that Redis took: only then is it sure that gateways heard of it.
//!
//! A reader that reads slowly, or was made to stop, shows nothing by when it was told.

use std::collections::HashMap;

use super::ground::{Ground, Judgement, SLACK, UNSEEN, broken, ms, unknown};
use super::readers::{Connection, Reader, is_slow};
use crate::history::{Event, Function, Kind};
use crate::run::Endpoint;

/// Within which time readers are told, in µs.
const TOLD: u64 = 1_000_000 + SLACK;
/// How old a check is at most when Redis takes it: beats bring them once a second.
const BEAT: u64 = 1_200_000;
/// What a cluster is given after a heal beside a lease duration, before it counts as well again, in µs.
const SETTLING: u64 = 3_000_000;

/// What is known of an endpoint.
struct Truth<'a> {
    endpoint: &'a Endpoint,
    stale_after: u64,
    /// When Redis took a good check.
    checks: Vec<&'a Event>,
    /// When each body was served first.
    served: HashMap<&'a str, u64>,
    /// When recorders began to watch.
    watches: Vec<u64>,
    /// When nothing was wrong.
    well: [(u64, u64); 2],
    until: u64,
}

pub(super) fn judge(ground: &Ground<'_>) -> Judgement {
    ground.needs(Kind::Ok, Function::Publish, "publication")?;
    if !ground.readers.values().any(Reader::streams) {
        return unknown("no stream was recorded");
    }
    for endpoint in &ground.run.endpoints {
        let truth = Truth::of(ground, endpoint);
        for (name, reader) in &ground.readers {
            let streams = reader
                .connections
                .iter()
                .filter(|connection| !is_slow(name) && connection.follows(&truth.endpoint.name));
            for stream in streams {
                truth.says_stale(reader, stream)?;
                truth.is_right(reader, stream)?;
            }
        }
    }
    Ok(())
}

impl<'a> Truth<'a> {
    fn of(ground: &Ground<'a>, endpoint: &'a Endpoint) -> Self {
        let name = endpoint.name.as_str();
        let about =
            || ground.events.iter().filter(move |event| event.endpoint.as_deref() == Some(name));
        let ok = |event: &&Event| event.kind == Kind::Ok;
        let mut served = HashMap::new();
        for poll in about().filter(ok).filter(|event| event.f == Function::Poll) {
            if let Some(hash) = &poll.hash {
                served.entry(hash.as_str()).or_insert(poll.t);
            }
        }
        let is_check = |event: &&Event| matches!(event.f, Function::Check | Function::Publish);
        let (run, until) = (ground.run, ground.until());
        let first = ground.first_fault().map_or(until, |fault| fault.t.saturating_sub(SLACK));
        let settled = ground
            .last_heal()
            .map_or(until, |heal| heal.t.saturating_add(run.timing.lease_ms * 1000 + SETTLING));
        Self {
            endpoint,
            stale_after: endpoint.stale_after_ms * 1000,
            checks: about().filter(ok).filter(is_check).collect(),
            served,
            watches: ground.watches().map(|watch| watch.t).collect(),
            well: [(run.ready_at, first), (settled, until)],
            until,
        }
    }

    /// Told within a second of each age that passes `stale_after`, or of the beginning of the stream.
    fn says_stale(&self, reader: &Reader<'_>, stream: &Connection<'_>) -> Judgement {
        let Some(opened) = stream.opened() else { return Ok(()) };
        for (number, check) in self.checks.iter().enumerate() {
            let next = self.checks.get(number + 1).map_or(u64::MAX, |next| next.t);
            let stale_at = check.t + self.stale_after;
            let due = stale_at.max(opened) + TOLD;
            if due >= next.min(self.until).min(stream.ended.unwrap_or(u64::MAX)) {
                continue;
            }
            // A check may have been missed.
            let missed = |watch: &u64| *watch >= check.t && watch.saturating_sub(UNSEEN) <= due;
            if self.watches.iter().any(missed) || reader.pauses_within(check.t, due) {
                continue;
            }
            let told = self.told(stream).take_while(|event| event.t <= due).last();
            if told.is_none_or(|event| event.f != Function::Stale) {
                let (name, age) = (&self.endpoint.name, ms(due - check.t));
                let who = &stream.begun.proc;
                let why = format!("{name} was checked {age} ms ago, and {who} was not told");
                return broken(why, &[*check, told.unwrap_or(stream.begun)]);
            }
        }
        Ok(())
    }

    /// Not told that something fresh is stale, and told within a second that it is fresh again.
    fn is_right(&self, reader: &Reader<'_>, stream: &Connection<'_>) -> Judgement {
        let name = Some(self.endpoint.name.as_str());
        let mut young: Option<(&Event, u64)> = None;
        let mut stale: Option<&Event> = None;
        for event in stream.events.iter().filter(|event| event.endpoint.as_deref() == name) {
            match event.f {
                Function::Read => {
                    let served = event.hash.as_deref().and_then(|hash| self.served.get(hash));
                    let Some(served) = served else { continue };
                    young = Some((event, *served));
                    if let Some(stale) = stale
                        && event.t + TOLD < served + self.stale_after
                    {
                        self.says_fresh(reader, stream, stale, event)?;
                    }
                }
                Function::Stale => {
                    stale = Some(event);
                    if let Some((read, served)) = young
                        && event.t + SLACK < served + self.stale_after
                    {
                        return self.wrongly(event, read);
                    }
                    if let Some(check) = self.checked_before(event.t)
                        && event.t + BEAT + SLACK < check.t + self.stale_after
                    {
                        return self.wrongly(event, check);
                    }
                    if let Some(check) = self.checked_after(event.t) {
                        self.says_fresh(reader, stream, event, check)?;
                    }
                }
                _ => stale = None,
            }
        }
        Ok(())
    }

    fn wrongly(&self, stale: &Event, shown_by: &Event) -> Judgement {
        let (name, who) = (&self.endpoint.name, &stale.proc);
        broken(format!("{who} was told that {name} is stale, which it was not"), &[shown_by, stale])
    }

    /// A stream that was told `stale` is told otherwise within a second of `shown_by`.
    fn says_fresh(
        &self,
        reader: &Reader<'_>,
        stream: &Connection<'_>,
        stale: &Event,
        shown_by: &Event,
    ) -> Judgement {
        let due = shown_by.t + TOLD;
        let ends = self.until.min(stream.ended.unwrap_or(u64::MAX));
        let in_time = |event: &Event| event.t > stale.t && event.t <= due;
        if due >= ends || reader.pauses_within(stale.t, due) || self.told(stream).any(in_time) {
            return Ok(());
        }
        let (name, who) = (&self.endpoint.name, &stale.proc);
        broken(format!("{who} was not told that {name} is fresh again"), &[stale, shown_by])
    }

    /// The last check before `t` that all must have heard of, while nothing is wrong.
    fn checked_before(&self, t: u64) -> Option<&'a Event> {
        let (from, _) = self.well.iter().find(|(from, to)| (*from..*to).contains(&t))?;
        let before = self.checks.iter().rev().find(|check| check.t + SLACK <= t);
        before.copied().filter(|check| check.t >= *from)
    }

    /// The first check after `t` that all must have heard of, since nothing is wrong.
    fn checked_after(&self, t: u64) -> Option<&'a Event> {
        let well = |check: &&&Event| {
            self.well.iter().any(|(from, to)| (*from..*to).contains(&check.t)) && check.t > t
        };
        self.checks.iter().find(well).copied()
    }

    /// What a stream was told of the endpoint.
    fn told<'s>(
        &self,
        stream: &'s Connection<'a>,
    ) -> impl Iterator<Item = &'a Event> + use<'s, 'a, '_> {
        let is_told = |event: &&&Event| {
            matches!(event.f, Function::Stale | Function::Fresh)
                && event.endpoint.as_deref() == Some(self.endpoint.name.as_str())
        };
        stream.events.iter().filter(is_told).copied()
    }
}
