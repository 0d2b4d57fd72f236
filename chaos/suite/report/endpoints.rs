//! What was published of each endpoint, and what its readers saw of it.

use std::collections::{BTreeMap, HashMap};

use pollux::model::Version;

use super::faults::{self, Spell};
use super::markup::{Lane, duration};
use super::scale::{PARTS, Scale};
use crate::checker::readers::{self, Reader, is_slow};
use crate::history::{Event, Function, Kind};
use crate::run::{Endpoint, Run};

/// By how much an answer may be later than two intervals before something is missing, in µs.
const GRACE: u64 = 50_000;
/// The delay that is as high as its lane, in µs.
const FULL: f64 = 1e6;
/// From which delay on one is drawn as late, and as too late, in µs.
const LATE: [u64; 2] = [250_000, 1_000_000];
/// How many gaps have their length written.
const LABELS: usize = 8;

/// Two lanes for each endpoint.
pub(super) fn lanes(run: &Run, history: &[Event], scale: &Scale, faults: &[Spell]) -> String {
    let readers = readers::of(history);
    let until = run.quiet_at.unwrap_or_else(|| {
        let poll = history.iter().rev().find(|event| event.f == Function::Poll);
        poll.map_or(scale.length, |poll| poll.t)
    });
    let both = |endpoint: &Endpoint| {
        let of_endpoint = |event: &&Event| event.endpoint.as_deref() == Some(&endpoint.name);
        let events: Vec<&Event> = history.iter().filter(of_endpoint).collect();
        published(endpoint, &events, until, scale, faults)
            + &seen(endpoint, &events, &readers, scale, faults)
    };
    run.endpoints.iter().map(both).collect()
}

fn published(
    endpoint: &Endpoint,
    events: &[&Event],
    until: u64,
    scale: &Scale,
    faults: &[Spell],
) -> String {
    let name = &endpoint.name;
    let gaps = gaps(endpoint, events, until);
    let mut drawing = faults::shade(scale, faults);
    for (from, to) in &gaps {
        drawing.push_str(&scale.bar("gap", *from, *to, 10.0, 80.0));
    }
    let times: Vec<u64> = publications(events).map(|event| event.t).collect();
    let (mut path, mut drawn) = (String::new(), None);
    for t in &times {
        if drawn.replace(scale.part(*t)) != Some(scale.part(*t)) {
            path.push_str(&format!("M{} 15v70", scale.x(*t)));
        }
    }
    drawing.push_str(&format!("<path class=\"tick\" d=\"{path}\"/>"));
    let longest = gaps.iter().map(|(from, to)| to - from).max();
    let described = match longest {
        None => format!("{name}: {} publications without a gap", times.len()),
        Some(longest) => format!(
            "{name}: {} publications; nothing current {} times, at most for {}",
            times.len(),
            gaps.len(),
            duration(longest)
        ),
    };
    Lane {
        class: "published",
        name,
        note: &format!("every {}, {} published", duration(endpoint.every_ms * 1000), times.len()),
        described: &described,
        drawing: &drawing,
        labels: &gap_labels(gaps, scale),
    }
    .html()
}

fn publications<'a>(events: &[&'a Event]) -> impl Iterator<Item = &'a Event> {
    let is = |event: &&Event| event.f == Function::Publish && event.kind == Kind::Ok;
    events.iter().copied().filter(is)
}

/// The lengths of the longest gaps.
fn gap_labels(mut gaps: Vec<(u64, u64)>, scale: &Scale) -> String {
    gaps.sort_by_key(|(from, to)| std::cmp::Reverse(to - from));
    let longest = gaps.into_iter().take(LABELS);
    scale.labels("gap-label", longest.map(|(from, to)| (from, duration(to - from))).collect())
}

/// When there was nothing current, in µs: neither a publication nor an answer of the backend that was
/// published already, for longer than two intervals.
fn gaps(endpoint: &Endpoint, events: &[&Event], until: u64) -> Vec<(u64, u64)> {
    let most = 2 * endpoint.every_ms * 1000 + GRACE;
    let mut gaps = Vec::new();
    let (mut last, mut current) = (None, None);
    let mut sign = |t: u64, last: &mut Option<u64>| {
        let before = last.replace(t);
        gaps.extend(before.filter(|before| t > before + most).map(|before| (before, t)));
    };
    for event in events.iter().filter(|event| event.kind == Kind::Ok && event.t <= until) {
        match event.f {
            Function::Publish => {
                current = event.hash.as_deref();
                sign(event.t, &mut last);
            }
            Function::Poll if event.hash.is_none() || event.hash.as_deref() == current => {
                sign(event.t, &mut last);
            }
            _ => {}
        }
    }
    sign(until, &mut last);
    gaps
}

fn seen(
    endpoint: &Endpoint,
    events: &[&Event],
    readers: &BTreeMap<&str, Reader<'_>>,
    scale: &Scale,
    faults: &[Spell],
) -> String {
    let published: HashMap<Version, u64> =
        publications(events).filter_map(|event| Some((event.of_version()?, event.t))).collect();
    let (mut delays, mut stale, mut told) = (Vec::new(), Vec::new(), 0);
    let mut count = 0;
    for (name, reader) in readers.iter().filter(|(_, reader)| reader.streams()) {
        if is_slow(name) {
            continue;
        }
        count += 1;
        delays.extend(delays_of(endpoint, reader, &published));
        let spells = stale_spells(endpoint, reader, scale);
        told += usize::from(!spells.is_empty());
        stale.extend(spells);
    }
    let mut drawing = faults::shade(scale, faults);
    for (from, to) in united(stale) {
        drawing.push_str(&scale.bar("stale", from, to, 0.0, 100.0));
    }
    drawing.push_str(&delay_bars(&delays, scale));
    let mut times: Vec<u64> = delays.iter().map(|(_, delay)| *delay).collect();
    times.sort_unstable();
    let note = match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(worst)) => {
            format!("p50 {}, worst {}", duration(*middle), duration(*worst))
        }
        _ => "nothing delivered".to_owned(),
    };
    let of_stale = match told {
        0 => String::new(),
        _ => format!("; {told} of {count} streams were told that it is stale"),
    };
    Lane {
        class: "seen",
        name: "its readers",
        note: &note,
        described: &format!("Delay of {} until streams have it: {note}{of_stale}", endpoint.name),
        drawing: &drawing,
        labels: "",
    }
    .html()
}

/// When something was published while a stream was open, and how much later the stream had it, in µs.
fn delays_of(
    endpoint: &Endpoint,
    reader: &Reader<'_>,
    published: &HashMap<Version, u64>,
) -> Vec<(u64, u64)> {
    let mut delays = Vec::new();
    for connection in &reader.connections {
        let Some(opened) = connection.opened() else { continue };
        for read in &connection.events {
            let wanted = read.f == Function::Read && read.endpoint.as_ref() == Some(&endpoint.name);
            let at =
                read.of_version().filter(|_| wanted).and_then(|version| published.get(&version));
            delays
                .extend(at.filter(|at| **at >= opened).map(|at| (*at, read.t.saturating_sub(*at))));
        }
    }
    delays
}

/// From when to when it was told that the endpoint is stale.
fn stale_spells(endpoint: &Endpoint, reader: &Reader<'_>, scale: &Scale) -> Vec<(u64, u64)> {
    let mut spells = Vec::new();
    for connection in &reader.connections {
        let mut since = None;
        let about = |event: &&&Event| event.endpoint.as_ref() == Some(&endpoint.name);
        for event in connection.events.iter().filter(about) {
            match event.f {
                Function::Stale => since = since.or(Some(event.t)),
                Function::Fresh => spells.extend(since.take().map(|from| (from, event.t))),
                _ => {}
            }
        }
        let ended = connection.ended.unwrap_or(scale.length);
        spells.extend(since.map(|from| (from, ended)));
    }
    spells
}

/// The times that are in any of these spells.
fn united(mut spells: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spells.sort_unstable();
    let mut all: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spells {
        match all.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => all.push((from, to)),
        }
    }
    all
}

/// The worst delay of each part of the time, as high as its square root, so that short ones are seen too.
fn delay_bars(delays: &[(u64, u64)], scale: &Scale) -> String {
    let mut worst = vec![0; PARTS + 1];
    for (t, delay) in delays {
        let at = &mut worst[scale.part(*t)];
        *at = (*delay).max(*at);
    }
    let mut paths = ["", "late", "too-late"].map(|class| (class, String::new()));
    for (part, delay) in worst.into_iter().enumerate().filter(|(_, delay)| *delay > 0) {
        let how = LATE.iter().filter(|late| delay >= **late).count();
        let height = (delay as f64 / FULL).sqrt().min(1.0) * 100.0;
        let x = part as f64 * 1000.0 / PARTS as f64;
        paths[how].1.push_str(&format!("M{x} 100v-{height:.0}"));
    }
    let path = |(class, path): &(&str, String)| match path.as_str() {
        "" => String::new(),
        path => format!("<path class=\"delay {class}\" d=\"{path}\"/>"),
    };
    paths.iter().map(path).collect()
}
