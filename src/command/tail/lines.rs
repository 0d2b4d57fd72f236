use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::change::glance;
use crate::command::events::Event;
use crate::command::terminal::{Colours, Paint, clip, size, width};
use crate::command::text::{bytes, now, time_of_day};
use crate::model::{Publication, Version};

/// How wide the column of names is at most.
const WIDEST_NAME: usize = 32;

/// Writes events as lines for people.
pub(super) struct Lines {
    colours: Colours,
    /// How wide the column of names is.
    name: usize,
    /// Whether every endpoint is followed, so that a version that is left out is seen.
    all: bool,
    last: Version,
    before: HashMap<String, Before>,
}

/// An endpoint's publication before.
struct Before {
    fetched_at: u64,
    body: Option<Value>,
}

/// The data of `stale` and `fresh`.
#[derive(Deserialize)]
struct Freshness {
    endpoint: String,
    age: Option<f64>,
}

/// The data of `gone`.
#[derive(Deserialize)]
struct Gone {
    gone: String,
    version: Version,
}

impl Lines {
    /// For streams of these endpoints; whether they are all that there are.
    pub(super) fn new(names: &BTreeSet<String>, all: bool) -> Self {
        let name = names.iter().map(String::len).max().unwrap_or_default().min(WIDEST_NAME);
        let (colours, last) = (Colours::of_stdout(), Version::NONE);
        Self { colours, name, all, last, before: HashMap::new() }
    }

    /// The line for an event; `None` for kinds that nobody here knows.
    pub(super) fn of(&mut self, event: &Event) -> Option<String> {
        match &*event.kind {
            "snapshot" => self.publication(event.data.clone()),
            "stale" => {
                let Freshness { endpoint, age } = serde_json::from_slice(&event.data).ok()?;
                let since = age.map_or_else(
                    || "no good check yet".to_owned(),
                    |age| format!("no good check for {age:.1} s"),
                );
                Some(self.standing(&endpoint, Paint::Yellow, "stale", &since))
            }
            "fresh" => {
                let Freshness { endpoint, .. } = serde_json::from_slice(&event.data).ok()?;
                Some(self.standing(&endpoint, Paint::Green, "fresh", "checked again"))
            }
            "gone" => {
                let Gone { gone, version } = serde_json::from_slice(&event.data).ok()?;
                self.last = self.last.max(version);
                self.before.remove(&gone);
                Some(self.standing(&gone, Paint::Red, "gone", "no longer polled"))
            }
            _ => None,
        }
    }

    fn publication(&mut self, data: Bytes) -> Option<String> {
        let publication = Publication::decode(data).ok()?;
        let name = publication.endpoint.as_str();
        let skipped = self.skipped(name, publication.version);
        self.last = publication.version;
        let fetched_at = publication.fetched_at;
        let before = self.before.get(name).map(|before| before.fetched_at);
        let since =
            before.map(|at| format!("+{:.1} s", fetched_at.saturating_sub(at) as f64 / 1e3));
        let entry = self.before.entry(name.to_owned()).or_insert(Before { fetched_at, body: None });
        entry.fetched_at = fetched_at;
        let mut glance = glance(&publication, &mut entry.body);
        if skipped > 0 {
            glance = format!("({skipped} skipped) {glance}");
        }
        let facts = format!(
            "{:<20}  {:>9}  {:>8}",
            publication.version.to_string(),
            bytes(publication.body.bytes().len()),
            since.unwrap_or_default()
        );
        Some(self.line(fetched_at, name, Paint::Dim, &facts, &glance))
    }

    /// How many publications were left out before this one, because newer ones replaced them.
    fn skipped(&self, endpoint: &str, version: Version) -> u64 {
        let counts = self.all && self.before.contains_key(endpoint);
        if counts && version.term == self.last.term {
            version.sequence.saturating_sub(self.last.sequence.saturating_add(1))
        } else {
            0
        }
    }

    fn standing(&self, name: &str, paint: Paint, what: &str, why: &str) -> String {
        self.line(now(), name, paint, what, why)
    }

    fn line(&self, at: u64, name: &str, paint: Paint, facts: &str, rest: &str) -> String {
        let columns = size().0;
        let name = format!("{:<1$}", clip(name, WIDEST_NAME), self.name);
        let line = format!(
            "{}  {}  {}  ",
            self.colours.paint(Paint::Dim, &time_of_day(at)),
            self.colours.paint(Paint::Cyan, &name),
            self.colours.paint(paint, facts),
        );
        let room = columns.saturating_sub(width(&line));
        line + &clip(rest, room)
    }
}
