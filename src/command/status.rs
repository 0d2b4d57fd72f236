//! `pollux status`: the cluster as one replica sees it.

use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::table::table;
use super::{Failure, runtime};
use crate::admin::{ClusterReport, EndpointReport};
use crate::config::{Config, format_duration};
use crate::store::{Presence, TimelineEntry};
use crate::tls;

/// How long a replica may take to answer; its store may be slow.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many changes of leadership are shown.
const CHANGES: usize = 5;

/// The admin address of the replica that a configuration describes, on this machine.
///
/// # Errors
/// When the address cannot be written as a URL, which no listening address is.
pub fn admin_url(config: &Config) -> Result<Url, Failure> {
    let mut listen = config.admin.listen;
    if listen.ip().is_unspecified() {
        let loopback: IpAddr = if listen.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        listen.set_ip(loopback);
    }
    let url = format!("http://{listen}");
    url.parse().map_err(|error| Failure::Other(format!("{url}: {error}")))
}

/// Asks the replica at `admin` and describes what it says, for people or as JSON.
///
/// # Errors
/// When nothing answers there, or not a replica of Pollux.
pub fn fetch(admin: &Url, json: bool) -> Result<String, Failure> {
    let body = runtime()?.block_on(get(admin))?;
    let report: ClusterReport = serde_json::from_slice(&body).map_err(|error| {
        Failure::Other(format!("{admin} does not answer as a replica's admin server: {error}"))
    })?;
    if json {
        return Ok(format!("{}\n", String::from_utf8_lossy(&body)));
    }
    Ok(describe(&report))
}

async fn get(admin: &Url) -> Result<Vec<u8>, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::Other(format!(
            "no replica answers at {admin}: {error}; --url or --config names another admin address"
        ))
    };
    let url = admin.join("/v1/cluster").map_err(|error| failed(&error))?;
    tls::install_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
    let client = client.map_err(|error| failed(&error))?;
    let response = client.get(url).send().await.map_err(|error| failed(&root_cause(&error)))?;
    let response = response.error_for_status().map_err(|error| failed(&error))?;
    let body = response.bytes().await.map_err(|error| failed(&root_cause(&error)))?;
    Ok(body.to_vec())
}

/// The innermost error: the others only say that something failed.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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
        let standing = match &*replica.role {
            _ if leader == Some(&*replica.replica) => "leader",
            "gateway" => "",
            _ => "standby",
        };
        [&*replica.replica, standing, &*replica.role, &*replica.version, &*replica.address]
            .map(str::to_owned)
            .to_vec()
    };
    let rows: Vec<_> = report.replicas.iter().map(row).collect();
    table(&["REPLICA", "", "ROLE", "VERSION", "ADDRESS"], &rows)
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
        if entry.event == "claimed" { format!("{} ms", entry.gap) } else { String::new() },
    ]
}
