//! Headers of requests, as endpoints and traces have them.

use std::collections::HashSet;

use reqwest::header::{HeaderName, HeaderValue};

use super::reader::{Reader, Setting};
use super::types::Secret;

/// The most headers of a request; servers commonly refuse more.
pub(super) const MOST_HEADERS: usize = 100;

/// The longest value of a header, in bytes; servers commonly refuse longer ones.
pub(super) const LONGEST_HEADER: usize = 16 * 1024;

/// Reads a mapping of names to values, which may be secrets. Those of `own`, in lower case, are set
/// by Pollux itself, and refused.
pub(super) fn read(
    setting: &Setting<'_>,
    own: &[&str],
    reader: &mut Reader<'_>,
) -> Vec<(String, Secret)> {
    let Some(section) = reader.mapping(setting, "a mapping of header names to values") else {
        return Vec::new();
    };
    if section.iter().count() > MOST_HEADERS {
        let message = format!("expected at most {MOST_HEADERS} headers");
        reader.refuse(setting.position, setting.trail, message);
        return Vec::new();
    }
    let mut headers: Vec<(String, Secret)> = Vec::new();
    let mut names = HashSet::new();
    for (name, setting) in section.iter() {
        let Ok(valid) = HeaderName::from_bytes(name.as_bytes()) else {
            let message = "expected a header name such as X-Api-Key".to_owned();
            reader.refuse(setting.position, setting.trail, message);
            continue;
        };
        if own.contains(&valid.as_str()) {
            let message = "expected another header: Pollux sets this one itself".to_owned();
            reader.refuse(setting.position, setting.trail, message);
        }
        if !names.insert(valid) {
            let message = "given twice: case makes no difference in a header name".to_owned();
            reader.refuse(setting.position, setting.trail, message);
        }
        if let Some(value) = value(&setting, reader) {
            headers.push((name.to_owned(), value));
        }
    }
    headers
}

fn value(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<Secret> {
    let expected = "a header value: visible ASCII characters, spaces and tabs";
    let value = reader.text(setting, expected)?;
    let message = if value.text.len() > LONGEST_HEADER {
        format!("expected at most {LONGEST_HEADER} bytes, found more")
    } else if HeaderValue::from_str(&value.text).is_err() {
        format!("expected {expected}, found others")
    } else {
        return Some(Secret::new(value.text));
    };
    reader.refuse(setting.position, setting.trail, message);
    None
}
