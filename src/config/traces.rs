//! Where the traces of polls go, and of how many.

use std::fmt;

use url::Url;

use super::headers;
use super::reader::{Reader, Setting};
use super::types::Secret;
use super::values::http_url;

/// The settings of `traces`.
pub(super) const SETTINGS: [&str; 3] = ["endpoint", "ratio", "headers"];

/// Of how many polls there are traces unless `ratio` says otherwise: of one in a hundred, so that a
/// thousand endpoints polled once a second make ten traces a second, not a thousand.
pub(super) const RATIO: f64 = 0.01;

/// Headers that the export sets itself, or that would break the request's frame.
pub(super) const OWN_HEADERS: [&str; 7] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "te",
    "trailer",
    "transfer-encoding",
];

const ENDPOINT: &str = "the http or https URL of a collector such as http://collector:4318";

/// Where the traces of polls go, over OTLP/HTTP, and of how many polls there are any.
#[derive(Clone, PartialEq)]
pub struct TracesConfig {
    /// Where spans are posted to: the setting with `/v1/traces` behind its path. It holds no
    /// credentials and no query.
    pub url: Url,
    /// The share of the polls that are traced, from 0 for none to 1 for all.
    pub ratio: f64,
    /// Headers of the export, whose values may be secrets.
    pub headers: Vec<(String, Secret)>,
}

/// Shows no header's value.
impl fmt::Debug for TracesConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TracesConfig")
            .field("url", &self.url.as_str())
            .field("ratio", &self.ratio)
            .field("headers", &self.headers)
            .finish()
    }
}

/// Reads `traces`. `None` only where the reader has noted an error.
pub(super) fn read(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<TracesConfig> {
    let section = reader.section(setting, &SETTINGS)?;
    let url =
        reader.required(&section, "endpoint", ENDPOINT).and_then(|setting| url(&setting, reader));
    let ratio = match section.get("ratio") {
        Some(setting) => reader.value(&setting, "a number from 0 to 1 such as 0.01", ratio),
        None => Some(RATIO),
    };
    let headers = match section.get("headers") {
        Some(setting) => headers::read(&setting, &OWN_HEADERS, reader),
        None => Vec::new(),
    };
    Some(TracesConfig { url: url?, ratio: ratio?, headers })
}

/// A URL is no place for secrets here: it stands in logs.
fn url(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<Url> {
    let text = reader.text(setting, ENDPOINT)?.text;
    let why = match http_url(&text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            "it has credentials, which belong into traces.headers".to_owned()
        }
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            "it goes on after the path".to_owned()
        }
        Ok(base) => return Some(signal_url(base)),
        Err(why) => why,
    };
    reader.refuse(setting.position, setting.trail, format!("expected {ENDPOINT}: {why}"));
    None
}

/// Where a collector with this base URL takes spans, as OTLP has it.
fn signal_url(mut base: Url) -> Url {
    let path = format!("{}/v1/traces", base.path().trim_end_matches('/'));
    base.set_path(&path);
    base
}

/// Reads a share in plain decimals.
fn ratio(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = plain.then(|| text.parse::<f64>().ok()).flatten()?;
    (0.0..=1.0).contains(&number).then_some(number)
}
