//! From Redis replies to the store's types, and back where a script needs JSON.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use redis::{FromRedisValue as _, Value};
use serde::Serialize;

use crate::model::{Announcement, EndpointName, Publication, Record, Version};
use crate::store::{
    Cause, LeaseValue, Observation, PRESENCE_EXPIRY, PollState, Presence, Published, Pulse,
    Reading, Resumed, Standing, Survey, TimelineEntry,
};

type Fields = HashMap<String, String>;

/// JSON of a plain struct, whose serialisation cannot fail.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// An announcement of term 0, split where the term belongs.
pub(super) fn around_term(announcement: &Announcement) -> (String, String) {
    let text = json(announcement);
    match text.split_once("\"term\":0") {
        Some((head, tail)) => (format!("{head}\"term\":"), tail.to_owned()),
        None => (text, String::new()),
    }
}

/// A presence up to the value of `seen_at`, its last field, which a script fills in.
pub(super) fn without_seen_at(presence: &Presence) -> String {
    let text = json(&Presence { seen_at: 0, ..presence.clone() });
    text.strip_suffix("0}").map(str::to_owned).unwrap_or(text)
}

/// Presences by name; one that cannot be read is left out.
pub(super) fn presences(texts: Vec<String>) -> Vec<Presence> {
    let read = |text: &String| serde_json::from_str(text).ok();
    let mut presences: Vec<Presence> = texts.iter().filter_map(read).collect();
    presences.sort_by(|one, other| one.replica.cmp(&other.replica));
    presences
}

pub(super) fn cause(name: &str) -> Cause {
    match name {
        "first" => Cause::First,
        "released" => Cause::Released,
        "crashed" => Cause::Crashed,
        "restarted" => Cause::Restarted,
        _ => Cause::Expired,
    }
}

fn record(fields: &Fields) -> Option<Record> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let number = |name: &str| fields.get(name).and_then(|value| value.parse().ok());
    Some(Record {
        term: number("term")?,
        lease: text("lease"),
        sequence: number("sequence").unwrap_or_default(),
        base: number("base").unwrap_or_default(),
        run_id: text("run_id"),
        alive: text("alive"),
        replica: text("replica"),
        address: text("address"),
        since: number("since").unwrap_or_default(),
    })
}

/// PTTL answers -2 for a key that is not there, and -1 for one that never expires: somebody wrote
/// the lease by hand, and it is held until they remove it.
fn held_for(pttl: i64) -> Option<Duration> {
    match pttl {
        -1 => Some(Duration::from_secs(1)),
        _ => u64::try_from(pttl).ok().map(Duration::from_millis),
    }
}

/// The lease's `PTTL` and value, the record, and the subscribers of its liveness channel.
pub(super) type Observed = (i64, Option<Vec<u8>>, Value, i64);

pub(super) fn observation(
    (pttl, lease, fields, subscribers): Observed,
    run_id: &str,
) -> Observation {
    let record = Fields::from_redis_value(fields).ok().as_ref().and_then(record);
    let lease = lease.map(LeaseValue::new);
    let pulse = record.as_ref().map(|record| pulse(record, lease, subscribers, run_id));
    Observation {
        held_for: held_for(pttl),
        pulse: pulse.unwrap_or(Pulse::Unknown),
        record,
        run_id: run_id.to_owned(),
    }
}

/// Subscribers are counted by one server alone, so it must be the one that was claimed on.
fn pulse(record: &Record, lease: Option<LeaseValue>, subscribers: i64, run_id: &str) -> Pulse {
    let recorded = lease.is_some_and(|lease| lease.to_string() == record.lease);
    if !recorded || run_id.is_empty() || record.run_id != run_id {
        return Pulse::Unknown;
    }
    match subscribers {
        0 => Pulse::None,
        1.. => Pulse::Felt,
        _ => Pulse::Unknown,
    }
}

pub(super) fn published(standing: Option<(String, String, String)>) -> Published {
    let Some((term, lease, sequence)) = standing else {
        return Published::Accepted;
    };
    let standing = term.parse().ok().zip(sequence.parse().ok());
    Published::Fenced(standing.map(|(term, sequence)| Standing { term, lease, sequence }))
}

/// An endpoint whose state cannot be read starts cold.
pub(super) fn resumed(
    endpoints: &[EndpointName],
    states: Vec<Option<String>>,
    checked: Vec<Option<u64>>,
) -> Vec<Resumed> {
    endpoints
        .iter()
        .zip(states)
        .zip(checked)
        .filter_map(|((endpoint, state), checked_at)| {
            let state: PollState = serde_json::from_str(&state?).ok()?;
            Some(Resumed { endpoint: endpoint.clone(), state, checked_at })
        })
        .collect()
}

fn now((seconds, micros): (u64, u64)) -> u64 {
    seconds * 1000 + micros / 1000
}

type ReadFacts = ((Option<u64>, Option<u64>), (u64, u64), Vec<Option<u64>>);

pub(super) fn reading(
    endpoints: &[EndpointName],
    ((term, sequence), time, checked): ReadFacts,
) -> Reading {
    let now = now(time);
    let age = |at: u64| Duration::from_millis(now.saturating_sub(at));
    let ages = endpoints.iter().zip(checked);
    Reading {
        version: Version::new(term.unwrap_or_default(), sequence.unwrap_or_default()),
        snapshots: Vec::new(),
        ages: ages.filter_map(|(name, at)| Some((name.clone(), age(at?)))).collect(),
    }
}

pub(super) fn add_snapshots(reading: &mut Reading, snapshots: Vec<Option<Vec<u8>>>) {
    for json in snapshots.into_iter().flatten() {
        match Publication::decode(Bytes::from(json)) {
            Ok(publication) => reading.snapshots.push(publication),
            Err(error) => tracing::warn!(%error, "a snapshot in Redis cannot be read; skipped"),
        }
    }
}

/// A publication in the history: its id, and its fields.
pub(super) type HistoryEntry = (String, HashMap<String, Vec<u8>>);

pub(super) fn size((_, fields): &HistoryEntry) -> usize {
    fields.values().map(Vec::len).sum()
}

/// The publication in an entry, if it is this endpoint's and can be read.
pub(super) fn published_by(endpoint: &EndpointName, entry: &HistoryEntry) -> Option<Publication> {
    let json = entry.1.get("publication")?;
    // As publications begin: others need not be read whole.
    let own = json.starts_with(format!("{{\"endpoint\":\"{endpoint}\",").as_bytes());
    own.then(|| Publication::decode(json.clone().into()).ok()).flatten()
}

type SurveyParts = ((u64, u64), i64, Fields, HashMap<String, String>, Vec<(String, Fields)>);

pub(super) fn survey(
    (time, pttl, leader, replicas, timeline): SurveyParts,
    run_id: &str,
) -> Survey {
    let now = now(time);
    let mut replicas = presences(replicas.into_values().collect());
    replicas.retain(|presence| {
        Duration::from_millis(now.saturating_sub(presence.seen_at)) <= PRESENCE_EXPIRY
    });
    Survey {
        now,
        observation: Observation {
            held_for: held_for(pttl),
            record: record(&leader),
            run_id: run_id.to_owned(),
            pulse: Pulse::Unknown,
        },
        replicas,
        timeline: timeline.iter().filter_map(|(id, fields)| timeline_entry(id, fields)).collect(),
    }
}

fn timeline_entry(id: &str, fields: &Fields) -> Option<TimelineEntry> {
    let text = |name: &str| fields.get(name).cloned().unwrap_or_default();
    Some(TimelineEntry {
        at: id.split('-').next()?.parse().ok()?,
        event: text("event"),
        replica: text("replica"),
        term: text("term").parse().ok()?,
        cause: text("cause"),
        gap: text("gap").parse().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_is_split_around_its_term() {
        let announcement = Announcement::Claimed { term: 0, replica: "a\"term\":0".into() };
        let (head, tail) = around_term(&announcement);
        let whole = format!("{head}1795209600123{tail}");
        assert_eq!(
            serde_json::from_str::<Announcement>(&whole).unwrap(),
            Announcement::Claimed { term: 1795209600123, replica: "a\"term\":0".into() }
        );
    }

    #[test]
    fn a_presence_is_cut_before_the_time_it_was_seen() {
        let presence = Presence { replica: "a".into(), seen_at: 7, ..Presence::default() };
        let whole = format!("{}9}}", without_seen_at(&presence));
        assert_eq!(serde_json::from_str::<Presence>(&whole).unwrap().seen_at, 9);
    }
}
