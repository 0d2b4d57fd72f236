//! `pollux status`: the cluster as one replica sees it.

use std::time::Duration;

use url::Url;

use super::admin::AdminClient;
use super::table::table;
use super::{Failure, runtime};
use crate::admin::{ClusterReport, EndpointReport};
use crate::config::format_duration;
use crate::store::{Presence, TimelineEntry};

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

fn describe(report: &ClusterReport) -> String {
    let mut sections = vec![table(&[], &overview(report)), replicas(report)];
    if let Some(endpoints) = &report.endpoints {
        let rows: Vec<_> = endpoints.iter().map(endpoint_row).collect();
        sections.push(table(&["ENDPOINT", "VERSION", "AGE", "", "EVERY", "SIZE"], &rows));
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
    [
        ("cluster", report.cluster.clone()),
        ("leader", leader.unwrap_or_else(|| "nobody".to_owned())),
        ("term", report.term.map_or_else(|| "none yet".to_owned(), |term| term.to_string())),
        ("store", store),
    ]
    .map(|(name, value)| vec![name.to_owned(), value])
    .to_vec()
}

fn replicas(report: &ClusterReport) -> String {
    let leader = report.leader.as_ref().map(|leader| leader.replica.as_str());
    let row = |replica: &Presence| {
        let standing = match replica.polls() {
            _ if leader == Some(&*replica.replica) => "leader",
            true => "standby",
            false => "",
        };
        let hosts = replica.hosts.map_or_else(|| "–".to_owned(), |hosts| hosts.to_string());
        [&*replica.replica, standing, &*replica.role, &*hosts, &*replica.version, &*replica.address]
            .map(str::to_owned)
            .to_vec()
    };
    let rows: Vec<_> = report.replicas.iter().map(row).collect();
    table(&["REPLICA", "", "ROLE", "HOSTS", "VERSION", "ADDRESS"], &rows)
}

fn endpoint_row(endpoint: &EndpointReport) -> Vec<String> {
    let none = || "–".to_owned();
    vec![
        endpoint.name.to_string(),
        endpoint.version.map_or_else(none, |version| version.to_string()),
        endpoint.age.map_or_else(none, |age| format!("{age:.1} s")),
        if endpoint.stale { "stale" } else { "" }.to_owned(),
        format_duration(Duration::from_secs_f64(endpoint.every.max(0.0))),
        endpoint.size.map_or_else(none, |size| format!("{size} B")),
    ]
}

fn change_row(entry: &TimelineEntry) -> Vec<String> {
    let at = std::time::UNIX_EPOCH + Duration::from_millis(entry.at);
    vec![
        humantime::format_rfc3339_millis(at).to_string(),
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
            now: None,
            replica: "castor".to_owned(),
            store: StoreReport { kind: "redis".to_owned(), ok: true, error: None },
            leader: Some(leader),
            term: Some(7),
            replicas: vec![
                presence("alhena", "poller", Some(Hosts { reachable: 3, checked: 3 })),
                presence("castor", "all", Some(Hosts { reachable: 1, checked: 3 })),
                presence("tejat", "gateway", None),
            ],
            timeline: Vec::new(),
            served: ServedReport::default(),
            polls: PollsSource::default(),
            endpoints: None,
        };
        let expected = "\
REPLICA           ROLE     HOSTS  VERSION  ADDRESS
alhena   standby  poller   3/3    1.2.3    http://10.1.2.3:9090
castor   leader   all      1/3    1.2.3    http://10.1.2.3:9090
tejat             gateway  –      1.2.3    http://10.1.2.3:9090
";
        assert_eq!(replicas(&report), expected);
    }
}
