//! `pollux status`: the cluster as one replica sees it.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use url::Url;

use super::{Failure, runtime};
use crate::admin::{ClusterReport, EndpointReport};
use crate::config::{Config, format_duration};
use crate::store::TimelineEntry;
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
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<10}{value}").ok();
    };
    line("cluster", report.cluster.clone());
    line(
        "leader",
        match &report.leader {
            Some(leader) => format!(
                "{} at {}, lease for {:.1} s",
                leader.replica, leader.address, leader.lease_remaining
            ),
            None => "nobody".to_owned(),
        },
    );
    line("term", report.term.map_or_else(|| "none yet".to_owned(), |term| term.to_string()));
    line(
        "store",
        match &report.store.error {
            None => report.store.kind.clone(),
            Some(error) => format!("{} does not answer: {error}", report.store.kind),
        },
    );
    let leader = report.leader.as_ref().map(|leader| leader.replica.as_str());
    let replicas = report.replicas.iter().map(|replica| {
        let standing = match (leader == Some(&*replica.replica), &*replica.role) {
            (true, _) => "leader",
            (false, "gateway") => "",
            (false, _) => "standby",
        };
        [&replica.replica, standing, &replica.role, &replica.version, &replica.address]
            .map(|cell| cell.to_owned())
            .to_vec()
    });
    table(&mut text, &["REPLICA", "", "ROLE", "VERSION", "ADDRESS"], replicas);
    if let Some(endpoints) = &report.endpoints {
        let head = ["ENDPOINT", "VERSION", "AGE", "", "EVERY", "SIZE"];
        table(&mut text, &head, endpoints.iter().map(endpoint_row));
    }
    let changes = report.timeline.iter().take(CHANGES).map(change_row);
    table(&mut text, &["CHANGE", "REPLICA", "TERM", "CAUSE", "GAP"], changes);
    text
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
        format!("{} {}", humantime::format_rfc3339_millis(at), entry.event),
        entry.replica.clone(),
        entry.term.to_string(),
        entry.cause.clone(),
        if entry.event == "claimed" { format!("{} ms", entry.gap) } else { String::new() },
    ]
}

/// Writes rows in columns as wide as their widest cell, under a head.
fn table(text: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    if rows.len() == 1 {
        return;
    }
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(|column| width(column).unwrap_or(0)).collect();
    text.push('\n');
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(text, "{}", cells.join("  ").trim_end()).ok();
    }
}
