//! What was found of each promise.

use super::faults::{self, Spell};
use super::markup::{Lane, escape, term};
use super::scale::Scale;
use crate::checker::{Entry, Finding, Verdict};
use crate::history::Event;

/// How close marks may be, in thousandths of the width.
const CLOSE: f64 = 80.0;

/// Where promises were broken, by their numbers; nothing where none was.
pub(super) fn lane(verdict: &Verdict, scale: &Scale, faults: &[Spell]) -> String {
    let mut broken: Vec<(u64, u8, &str)> = Vec::new();
    for Entry { invariant, finding } in &verdict.invariants {
        if let Finding::Broken { excerpt, .. } = finding {
            // What shows it last is what was wrong.
            let t = excerpt.last().map_or(scale.length, |event| event.t);
            broken.push((t, *invariant as u8, invariant.title()));
        }
    }
    if broken.is_empty() {
        return String::new();
    }
    broken.sort_unstable();
    let (mut drawing, mut labels) = (faults::shade(scale, faults), String::new());
    let mut described = Vec::new();
    // Those of about one time have one mark.
    let mut marks: Vec<(u64, Vec<String>, &str)> = Vec::new();
    for (t, number, title) in broken {
        drawing.push_str(&scale.bar("stray", t, t, 0.0, 100.0));
        match marks.last_mut().filter(|(at, ..)| scale.x(t) - scale.x(*at) < CLOSE) {
            Some((_, numbers, _)) => numbers.push(number.to_string()),
            None => marks.push((t, vec![number.to_string()], title)),
        }
        described.push(format!("{title}, at {:.3} s", t as f64 / 1e6));
    }
    for (place, (t, numbers, title)) in marks.iter().enumerate() {
        let next = marks.get(place + 1).map_or(scale.length, |(next, ..)| *next);
        let mut texts: Vec<&str> = numbers.iter().map(String::as_str).collect();
        texts.extend((numbers.len() == 1).then_some(*title));
        // At the very end there is no room to the right.
        let (class, from, to) = match scale.x(*t) {
            960.0.. => ("mark left", 0, *t),
            _ => ("mark", *t, next),
        };
        labels.push_str(&scale.label(class, from, to, &texts));
    }
    Lane {
        class: "broken",
        name: "broken",
        note: "",
        described: &format!("Broken promises: {}", described.join("; ")),
        drawing: &drawing,
        labels: &labels,
    }
    .html()
}

pub(super) fn table(verdict: &Verdict) -> String {
    if verdict.invariants.is_empty() {
        return String::new();
    }
    let rows: String = verdict.invariants.iter().map(row).collect();
    format!(
        "<section class=\"panel\"><h2>The fourteen promises</h2>\n<table class=\"promises\">\
         <thead><tr><th scope=\"col\">#</th><th scope=\"col\">promise</th>\
         <th scope=\"col\">found</th></tr></thead>\n<tbody>\n{rows}</tbody></table></section>\n"
    )
}

fn row(Entry { invariant, finding }: &Entry) -> String {
    let (class, word, why, excerpt) = match finding {
        Finding::Held => ("good", "kept", "", [].as_slice()),
        Finding::Broken { why, excerpt } => ("bad", "broken", why.as_str(), excerpt.as_slice()),
        Finding::Unknown { why } => ("warn", "unknown", why.as_str(), [].as_slice()),
        Finding::Spared => ("soft", "not claimed", "", [].as_slice()),
    };
    let why = if why.is_empty() { String::new() } else { format!("<p>{}</p>", escape(why)) };
    format!(
        "<tr class=\"{class}\"><td>{}</td><th scope=\"row\">{}</th>\
         <td><b class=\"badge {class}\">{word}</b>{why}{}</td></tr>\n",
        *invariant as u8,
        invariant.title(),
        shown(excerpt),
    )
}

fn shown(excerpt: &[Event]) -> String {
    if excerpt.is_empty() {
        return String::new();
    }
    let mut rows = String::new();
    for event in excerpt {
        rows.push_str(&format!(
            "<tr><td>{:.3} s</td><td>{}</td><td>{}</td></tr>",
            event.t as f64 / 1e6,
            escape(&event.proc),
            escape(&told(event)),
        ));
    }
    format!("<table class=\"excerpt\"><tbody>{rows}</tbody></table>")
}

/// An event in a line.
fn told(event: &Event) -> String {
    let word = |value: serde_json::Result<String>| value.unwrap_or_default().replace('"', "");
    let mut line = word(serde_json::to_string(&event.f));
    line.push_str(&format!(" {}", word(serde_json::to_string(&event.kind))));
    match (event.of_version(), event.term) {
        (Some(version), _) => {
            line.push_str(&format!(", {}-{}", term(version.term), version.sequence));
        }
        (None, Some(of)) => {
            line.push_str(&format!(", {}", term(of)));
        }
        (None, None) => {}
    }
    for (name, value) in [
        ("of", &event.endpoint),
        ("with", &event.hash),
        ("from", &event.gateway),
        ("at", &event.server),
        ("under", &event.run_id),
        ("lease", &event.lease),
        ("failed:", &event.error),
        ("says", &event.note),
    ] {
        if let Some(value) = value {
            line.push_str(&format!(", {name} {value}"));
        }
    }
    if let Some(value) = event.value {
        line.push_str(&format!(" = {value}"));
    }
    line
}
