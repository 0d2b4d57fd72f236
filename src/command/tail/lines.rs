use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::change::glance;
use crate::command::events::Event;
use crate::command::terminal::{Colours, Paint, WIDEST_NAME, clip, size, width};
use crate::command::text::{bytes, now, time_of_day};
use crate::model::Publication;

/// Writes events as lines for people.
pub(super) struct Lines {
    colours: Colours,
    /// How wide the column of names is.
    name: usize,
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
}

impl Lines {
    pub(super) fn new() -> Self {
        Self { colours: Colours::of_stdout(), name: 0, before: HashMap::new() }
    }

    /// From now on for streams of these endpoints.
    pub(super) fn align(&mut self, names: &BTreeSet<String>) {
        self.name = names.iter().map(String::len).max().unwrap_or_default().min(WIDEST_NAME);
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
                let Gone { gone } = serde_json::from_slice(&event.data).ok()?;
                self.before.remove(&gone);
                Some(self.standing(&gone, Paint::Red, "gone", "no longer polled"))
            }
            _ => None,
        }
    }

    fn publication(&mut self, data: Bytes) -> Option<String> {
        let publication = Publication::decode(data).ok()?;
        let name = publication.endpoint.as_str();
        let fetched_at = publication.fetched_at;
        let before = self.before.get(name).map(|before| before.fetched_at);
        let since =
            before.map(|at| format!("+{:.1} s", fetched_at.saturating_sub(at) as f64 / 1e3));
        let entry = self.before.entry(name.to_owned()).or_insert(Before { fetched_at, body: None });
        entry.fetched_at = fetched_at;
        let glance = glance(&publication, &mut entry.body);
        let facts = format!(
            "{:<20}  {:>9}  {:>8}",
            publication.version.to_string(),
            bytes(publication.body.bytes().len()),
            since.unwrap_or_default()
        );
        Some(self.line(fetched_at, name, Paint::Dim, &facts, &glance))
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
