use std::collections::HashMap;
use std::time::Duration;

use url::Url;

use super::errors::Position;
use super::headers;
use super::reader::{DURATION, Reader, Section, Setting, Trail};
use super::types::{EndpointConfig, Expectation, Secret};
use super::values::{format_duration, http_url, media_range, size};
use super::yaml::Value;
use crate::model::EndpointName;

/// What may stand in `defaults`, and in each endpoint beside its name and URL.
pub(super) const POLICY: [&str; 7] =
    ["every", "timeout", "connect_timeout", "max_body", "stale_after", "headers", "expect"];

/// All settings of an endpoint.
pub(super) const SETTINGS: [&str; 9] = [
    "name",
    "url",
    "every",
    "timeout",
    "connect_timeout",
    "max_body",
    "stale_after",
    "headers",
    "expect",
];

/// The settings of `expect`.
pub(super) const EXPECT: [&str; 1] = ["content_type"];

/// The longest timeout that nobody asked for.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest body that nobody asked for, in bytes.
const MAX_BODY: u64 = 10 * 1024 * 1024;

/// The largest body of all, in bytes: as text full of escapes it grows sixfold on the wire, and Redis
/// takes strings of up to 512 MiB (`proto-max-bulk-len`).
pub(super) const LARGEST_BODY: u64 = 64 * 1024 * 1024;

/// Headers that Pollux sets itself, or that would break the request's frame.
pub(super) const OWN_HEADERS: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "if-modified-since",
    "if-none-match",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The age from which even a fast endpoint is stale: three beats.
const SHORTEST_STALE_AFTER: Duration = Duration::from_secs(3);

const URL: &str = "an http or https URL such as https://example.com/prices";

/// What `defaults` or an endpoint says of how to poll.
#[derive(Default)]
struct Policy {
    /// Whether there is an interval at all, be it a wrong one.
    has_every: bool,
    every: Option<Duration>,
    timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    max_body: Option<u64>,
    stale_after: Option<Duration>,
    headers: Vec<(String, Secret)>,
    expect: Option<Expectation>,
}

/// Reads `endpoints` and `defaults`. `None` only where the reader has noted an error.
pub(super) fn read(section: &Section<'_>, reader: &mut Reader<'_>) -> Option<Vec<EndpointConfig>> {
    let defaults = match section.get("defaults") {
        Some(setting) => reader.section(&setting, &POLICY).map(|section| policy(&section, reader)),
        None => None,
    };
    let defaults = defaults.unwrap_or_default();

    let expected = "a list of endpoints, at least one";
    let setting = reader.required(section, "endpoints", expected)?;
    let items = reader.list(&setting, expected)?;
    if items.is_empty() {
        let message = format!("expected {expected}, found none");
        reader.refuse(setting.position, setting.trail, message);
        return None;
    }
    let mut names = HashMap::with_capacity(items.len());
    let mut endpoints = Vec::with_capacity(items.len());
    for (index, node) in items.iter().enumerate() {
        let item = setting.item(index, node);
        endpoints.push(endpoint(&item, &defaults, index, &mut names, reader));
    }
    endpoints.into_iter().collect()
}

/// The names taken so far, each with the endpoint and the place that took it.
type Names = HashMap<EndpointName, (usize, Position)>;

fn endpoint(
    setting: &Setting<'_>,
    defaults: &Policy,
    index: usize,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<EndpointConfig> {
    let section = reader.section(setting, &SETTINGS)?;
    let name = name(&section, index, names, reader);
    let url = url(&section, reader);
    let own = policy(&section, reader);
    if let Some(url) = &url {
        one_place_for_credentials(&section, url, &own.headers, reader);
    }
    if !own.has_every && !defaults.has_every {
        reader.missing(&section, "every", DURATION);
    }
    let every = own.every.or(defaults.every)?;
    let timeout = own.timeout.or(defaults.timeout);
    let timeout = timeout.unwrap_or(every.min(LONGEST_TIMEOUT));
    let connect_timeout = own.connect_timeout.or(defaults.connect_timeout);
    let connect_timeout = connect_timeout.unwrap_or(CONNECT_TIMEOUT.min(timeout));
    let stale_after = own.stale_after.or(defaults.stale_after);
    let stale_after = stale_after.unwrap_or((every * 3).max(SHORTEST_STALE_AFTER));
    if connect_timeout > timeout {
        let most = format!("at most the timeout of {}", format_duration(timeout));
        out_of_order(&section, "connect_timeout", &most, connect_timeout, reader);
    }
    // Every snapshot gets as old as the interval before its next check.
    if stale_after <= every {
        let more = format!("more than the interval of {}", format_duration(every));
        out_of_order(&section, "stale_after", &more, stale_after, reader);
    }
    Some(EndpointConfig {
        name: name?,
        url: url?,
        every,
        timeout,
        connect_timeout,
        max_body: own.max_body.or(defaults.max_body).unwrap_or(MAX_BODY),
        stale_after,
        headers: merge(own.headers, &defaults.headers),
        expect: own.expect.or_else(|| defaults.expect.clone()).unwrap_or_default(),
    })
}

/// Refuses a duration that does not fit to another, be it the endpoint's own or a default.
fn out_of_order(
    section: &Section<'_>,
    key: &str,
    expected: &str,
    found: Duration,
    reader: &mut Reader<'_>,
) {
    let position = section.get(key).map_or(section.position, |setting| setting.position);
    let message = format!("expected {expected}, found {}", format_duration(found));
    reader.refuse(position, Trail::Key(section.trail, key), message);
}

fn name(
    section: &Section<'_>,
    index: usize,
    names: &mut Names,
    reader: &mut Reader<'_>,
) -> Option<EndpointName> {
    let expected = "a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit";
    let setting = reader.required(section, "name", expected)?;
    let name = reader.value(&setting, expected, |text| EndpointName::new(text).ok())?;
    if let Some((first, position)) = names.get(&name) {
        let place = match position {
            Position::File => String::new(),
            Position::Line(line) => format!(" in line {line}"),
            Position::Variable(variable) => format!(" by {variable}"),
        };
        let message = format!("expected a name of its own, but endpoints[{first}] took it{place}");
        reader.refuse(setting.position, setting.trail, message);
        return None;
    }
    names.insert(name.clone(), (index, setting.position.clone()));
    Some(name)
}

fn url(section: &Section<'_>, reader: &mut Reader<'_>) -> Option<Url> {
    let setting = reader.required(section, "url", URL)?;
    let text = reader.text(&setting, URL)?.text;
    match http_url(&text) {
        Ok(url) => Some(url),
        Err(why) => {
            let message = format!("expected {URL}: {why}");
            reader.refuse(setting.position, setting.trail, message);
            None
        }
    }
}

/// Refuses credentials in the URL beside those in a header of the endpoint's own: one would not be sent.
fn one_place_for_credentials(
    section: &Section<'_>,
    url: &Url,
    headers: &[(String, Secret)],
    reader: &mut Reader<'_>,
) {
    let in_url = !url.username().is_empty() || url.password().is_some();
    let header = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    if let (true, Some((name, _)), Some(setting)) = (in_url, header, section.get("url")) {
        let message =
            format!("expected credentials in one place, found them in headers.{name} too");
        reader.refuse(setting.position, setting.trail, message);
    }
}

fn policy(section: &Section<'_>, reader: &mut Reader<'_>) -> Policy {
    let mut duration = |key| section.get(key).and_then(|setting| reader.duration(&setting));
    Policy {
        has_every: section.get("every").is_some(),
        every: duration("every"),
        timeout: duration("timeout"),
        connect_timeout: duration("connect_timeout"),
        stale_after: duration("stale_after"),
        max_body: section.get("max_body").and_then(|setting| max_body(&setting, reader)),
        headers: section
            .get("headers")
            .map(|setting| headers::read(&setting, &OWN_HEADERS, reader))
            .unwrap_or_default(),
        expect: section.get("expect").and_then(|setting| expectation(&setting, reader)),
    }
}

fn max_body(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<u64> {
    let expected = "a size from 1B to 64MiB such as 512KiB or 10MiB";
    let within = |text: &str| size(text).filter(|bytes| (1..=LARGEST_BODY).contains(bytes));
    reader.value(setting, expected, within)
}

/// An endpoint's own headers, and the defaults whose names it does not use.
fn merge(own: Vec<(String, Secret)>, defaults: &[(String, Secret)]) -> Vec<(String, Secret)> {
    let overridden = |name: &str| own.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
    let inherited = defaults.iter().filter(|(name, _)| !overridden(name));
    let mut headers: Vec<_> = inherited.cloned().collect();
    headers.extend(own);
    headers
}

fn expectation(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<Expectation> {
    let section = reader.section(setting, &EXPECT)?;
    let Some(setting) = section.get("content_type") else {
        return Some(Expectation::Json);
    };
    let expected = "a media type such as text/csv or image/*, or a list of them";
    let Value::List(items) = &setting.node.value else {
        let range = reader.value(&setting, expected, media_range)?;
        return Some(Expectation::ContentType(vec![range]));
    };
    if items.is_empty() {
        let message = format!("expected {expected}, found an empty list");
        reader.refuse(setting.position, setting.trail, message);
        return None;
    }
    let expected = "a media type such as text/csv or image/*";
    let mut ranges = Vec::with_capacity(items.len());
    for (index, node) in items.iter().enumerate() {
        let item = setting.item(index, node);
        ranges.push(reader.value(&item, expected, media_range));
    }
    let ranges: Option<Vec<_>> = ranges.into_iter().collect();
    ranges.map(Expectation::ContentType)
}
