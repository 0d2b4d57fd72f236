//! `pollux status`: the cluster as one replica sees it.

use std::time::Duration;

use url::Url;

use super::admin::AdminClient;
use super::table::table;
use super::text::{grouped, seconds, time};
use super::{Failure, runtime};
use crate::admin::{ClusterReport, EndpointReport, ServedReport};
use crate::config::format_duration;
use crate::store::{Presence, TimelineEntry};

/// What is shown of endpoints; of polls from the seventh on.
const HEADING: [&str; 9] =
    ["ENDPOINT", "VERSION", "AGE", "", "EVERY", "SIZE", "NEXT", "FAILURES", "POLLS"];

/// How many polls of an endpoint are shown.
const POLLS: usize = 12;

/// Since when a replica has been silent, in ms: each tells of itself every ten seconds.
const SILENT: u64 = 15_000;

/// How many changes of leadership are shown.
const CHANGES: usize = 5;

/// Asks the replica at `admin` and describes what it says, for people or as JSON.
///
/// # Errors
/// When nothing answers there, or not a replica of Pollux.
pub fn fetch(admin: &Url, json: bool) -> Result<String, Failure> {
    let (report, text) = runtime()?.block_on(async { AdminClient::new(admin)?.cluster().await })?;
    Ok(if json { format!("{text}\n") } else { describe(&report) })
}

pub(super) fn describe(report: &ClusterReport) -> String {
    let mut sections = vec![table(&[], &overview(report)), replicas(report)];
    if let Some(endpoints) = &report.endpoints {
        let rows: Vec<_> =
            endpoints.iter().map(|endpoint| endpoint_row(endpoint, report.now)).collect();
        // Only the leader knows its polls, and only what it told is shown.
        let columns = if report.polls.replica.is_some() { HEADING.len() } else { 6 };
        let rows: Vec<_> =
            rows.into_iter().map(|row| row.into_iter().take(columns).collect()).collect();
        sections.push(table(&HEADING[..columns], &rows));
    }
    let changes: Vec<_> = report.timeline.iter().take(CHANGES).map(change_row).collect();
    if !changes.is_empty() {
        sections.push(table(&["CHANGE", "", "REPLICA", "TERM", "CAUSE", "GAP"], &changes));
    }
    sections.join("\n")
}

fn overview(report: &ClusterReport) -> Vec<Vec<String>> {
    let leader = report.leader.as_ref().map(|leader| {
        let remaining = leader.lease_remaining;
        format!("{} at {}, lease for {remaining:.1} s", leader.replica, leader.address)
    });
    let store = match &report.store.error {
        None => report.store.kind.clone(),
        Some(error) => format!("{} does not answer: {error}", report.store.kind),
    };
    let rows = [
        ("cluster", report.cluster.clone()),
        ("leader", leader.unwrap_or_else(|| "nobody".to_owned())),
        ("term", report.term.map_or_else(|| "none yet".to_owned(), |term| term.to_string())),
        ("store", store),
        ("saved", saved(report)),
    ];
    rows.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect()
}

/// What backends were spared; nothing where no replica tells what it served.
pub(super) fn saved(report: &ClusterReport) -> String {
    let ServedReport { reads, deliveries, polls, saved, since } = &report.served;
    let Some(since) = since else { return String::new() };
    let count = |count: &u64| grouped(i64::try_from(*count).unwrap_or(i64::MAX));
    let (reads, deliveries, polls) = (count(reads), count(deliveries), count(polls));
    let ago = report.now.map(|now| format!(" in {}", rough(now.saturating_sub(*since))));
    format!(
        "{} backend requests{}: {reads} reads + {deliveries} deliveries − {polls} polls",
        grouped(*saved),
        ago.unwrap_or_default()
    )
}

/// A time in ms to the second, or to the minute from an hour on.
pub(super) fn rough(ms: u64) -> String {
    let unit = if ms < 3_600_000 { 1_000 } else { 60_000 };
    format_duration(Duration::from_millis(ms / unit * unit))
}

/// Whether a replica has not told of itself in time: it is dead, or cut off from the store. Not so
/// while the store does not answer, for then nobody is heard.
pub(super) fn is_silent(replica: &Presence, now: Option<u64>) -> bool {
    let since = now.filter(|_| replica.seen_at > 0);
    since.is_some_and(|now| now.saturating_sub(replica.seen_at) > SILENT)
}

/// A replica's version, and what else is to be known of what it runs with.
pub(super) fn version(replica: &Presence) -> String {
    let refused = if replica.config_refused { ", configuration refused" } else { "" };
    format!("{}{refused}", replica.version)
}

fn replicas(report: &ClusterReport) -> String {
    let leader = report.leader.as_ref().map(|leader| leader.replica.as_str());
    let row = |replica: &Presence| {
        let standing = match replica.polls() {
            _ if leader == Some(&*replica.replica) => "leader",
            _ if is_silent(replica, report.now) => "silent",
            true => "standby",
            false => "",
        };
        let hosts = replica.hosts.map_or_else(|| "–".to_owned(), |hosts| hosts.to_string());
        let version = version(replica);
        [&*replica.replica, standing, &*replica.role, &*hosts, &*version, &*replica.address]
            .map(str::to_owned)
            .to_vec()
    };
    let rows: Vec<_> = report.replicas.iter().map(row).collect();
    table(&["REPLICA", "", "ROLE", "HOSTS", "VERSION", "ADDRESS"], &rows)
}

fn endpoint_row(endpoint: &EndpointReport, now: Option<u64>) -> Vec<String> {
    let none = || "–".to_owned();
    vec![
        endpoint.name.to_string(),
        endpoint.version.map_or_else(none, |version| version.to_string()),
        endpoint.age.map_or_else(none, |age| format!("{age:.1} s")),
        if endpoint.stale { "stale" } else { "" }.to_owned(),
        seconds(endpoint.every),
        endpoint.size.map_or_else(none, |size| format!("{size} B")),
        next(endpoint, now, 0),
        failures(endpoint),
        strip(endpoint, POLLS),
    ]
}

/// When an endpoint is polled next, some ms after the report was made.
pub(super) fn next(endpoint: &EndpointReport, now: Option<u64>, later: u64) -> String {
    match (endpoint.next_due, now) {
        (Some(due), Some(now)) => {
            let left = due.saturating_sub(now.saturating_add(later));
            if left < 10_000 { format!("{:.1} s", left as f64 / 1e3) } else { rough(left) }
        }
        _ => "–".to_owned(),
    }
}

/// How often an endpoint has failed in a row, and whether its breaker is open.
pub(super) fn failures(endpoint: &EndpointReport) -> String {
    let kind = endpoint.polls.iter().rev().find_map(|poll| poll.kind.as_deref());
    match (endpoint.failures, endpoint.retry_at) {
        (0, _) => "–".to_owned(),
        (count, None) => format!("{count} {}", kind.unwrap_or_default()),
        (count, Some(_)) => format!("{count} {}, breaker open", kind.unwrap_or_default()),
    }
}

/// The latest polls of an endpoint, the newest last, a character for each.
pub(super) fn strip(endpoint: &EndpointReport, most: usize) -> String {
    let skipped = endpoint.polls.len().saturating_sub(most);
    endpoint.polls.iter().skip(skipped).map(|poll| symbol(&poll.outcome)).collect()
}

/// How the outcome of a poll is shown.
pub(super) fn symbol(outcome: &str) -> char {
    match outcome {
        "changed" => '█',
        "unchanged" => '▄',
        "not_modified" => '▁',
        "failed" => '×',
        _ => '·',
    }
}

pub(super) fn change_row(entry: &TimelineEntry) -> Vec<String> {
    vec![
        time(entry.at),
        entry.event.clone(),
        entry.replica.clone(),
        entry.term.to_string(),
        entry.cause.clone(),
        match (&*entry.event, entry.gap) {
            ("claimed", 0) => "–".to_owned(),
            ("claimed", gap) => format!("{gap} ms"),
            _ => String::new(),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{LeaderReport, PollsSource, ServedReport, StoreReport};
    use crate::store::Hosts;

    fn presence(replica: &str, role: &str, hosts: Option<Hosts>) -> Presence {
        Presence {
            replica: replica.to_owned(),
            address: "http://10.1.2.3:9090".to_owned(),
            role: role.to_owned(),
            version: "1.2.3".to_owned(),
            hosts,
            ..Presence::default()
        }
    }

    #[test]
    fn replicas_are_shown_with_what_they_do_and_reach() {
        let leader = LeaderReport {
            replica: "castor".to_owned(),
            address: String::new(),
            term: 7,
            since: 0,
            lease_remaining: 6.0,
        };
        let report = ClusterReport {
            cluster: "test".to_owned(),
            now: Some(20_000),
            replica: "castor".to_owned(),
            store: StoreReport { kind: "redis".to_owned(), ok: true, error: None },
            leader: Some(leader),
            term: Some(7),
            replicas: vec![
                presence("alhena", "poller", Some(Hosts { reachable: 3, checked: 3 })),
                presence("castor", "all", Some(Hosts { reachable: 1, checked: 3 })),
                Presence { seen_at: 2_000, ..presence("pollux", "all", None) },
                Presence { config_refused: true, ..presence("tejat", "gateway", None) },
            ],
            timeline: Vec::new(),
            served: ServedReport::default(),
            history: 0,
            polls: PollsSource::default(),
            endpoints: None,
        };
        let expected = "\
REPLICA           ROLE     HOSTS  VERSION                       ADDRESS
alhena   standby  poller   3/3    1.2.3                         http://10.1.2.3:9090
castor   leader   all      1/3    1.2.3                         http://10.1.2.3:9090
pollux   silent   all      –      1.2.3                         http://10.1.2.3:9090
tejat             gateway  –      1.2.3, configuration refused  http://10.1.2.3:9090
";
        assert_eq!(replicas(&report), expected);
    }

    #[test]
    fn whoever_has_not_been_heard_of_in_time_is_silent() {
        let seen = |seen_at| Presence { seen_at, ..Presence::default() };
        for (seen_at, now, expected) in [
            (1_000, Some(1_000 + SILENT), false),
            (1_000, Some(1_001 + SILENT), true),
            (1_000, None, false),
            // By the clock of a store that has gone back, and of a version that does not tell.
            (1_000, Some(500), false),
            (0, Some(100_000), false),
        ] {
            assert_eq!(is_silent(&seen(seen_at), now), expected, "{seen_at} at {now:?}");
        }
    }
}
