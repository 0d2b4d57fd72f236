//! Who led when, and which processes were dead or frozen.

use std::collections::BTreeSet;

use super::faults::{self, Spell};
use super::markup::{Lane, duration, escape, term};
use super::named;
use super::scale::Scale;
use crate::history::{ENDED, Event, FROZEN, Function, Kind, STARTED, WOKEN};
use crate::run::Run;

/// How wide a bar is that has room for a term in words.
const ROOMY: f64 = 130.0;

/// A leadership, in µs.
pub(super) struct Reign<'a> {
    claim: &'a Event,
    /// Until when it is seen to act.
    acted: u64,
    /// Until when it could have: by a release, another claim, its end, or the end of its lease.
    until: u64,
    released: bool,
}

/// All leaderships.
pub(super) fn reigns<'a>(run: &Run, history: &'a [Event]) -> Vec<Reign<'a>> {
    let claims: Vec<&Event> = history
        .iter()
        .filter(|event| event.f == Function::Acquire && event.kind == Kind::Ok)
        .collect();
    claims.into_iter().map(|claim| reign(run, history, claim)).collect()
}

fn reign<'a>(run: &Run, history: &'a [Event], claim: &'a Event) -> Reign<'a> {
    let end = history.last().map_or(claim.t, |event| event.t);
    let later = || history.iter().filter(|event| event.t > claim.t);
    let ends = later().find(|event| match (event.f, event.kind) {
        (Function::Acquire, Kind::Ok) => event.proc == claim.proc || event.server == claim.server,
        (Function::Release, Kind::Ok) => event.proc == claim.proc,
        (Function::Process, _) => event.proc == claim.proc && says(event, ENDED),
        _ => false,
    });
    let until = ends.map_or(end, |event| event.t);
    let acts = |event: &&Event| {
        let acts = matches!(event.f, Function::Renew | Function::Publish | Function::Poll);
        acts && event.kind != Kind::Fail && event.proc == claim.proc && event.t <= until
    };
    let acted = later().rfind(acts).map_or(claim.t, |event| event.t);
    let renewed = later()
        .rfind(|event| acts(event) && event.f == Function::Renew)
        .map_or(claim.t, |event| event.t);
    let until = until.min(renewed + run.timing.lease_ms * 1000).max(acted);
    let released = ends.is_some_and(|event| event.f == Function::Release);
    Reign { claim, acted, until, released }
}

fn says(event: &Event, what: &str) -> bool {
    event.note.as_deref().is_some_and(|note| note.starts_with(what))
}

/// A lane for each poller, and for each other process that was dead or frozen at some time.
pub(super) fn lanes(run: &Run, history: &[Event], scale: &Scale, faults: &[Spell]) -> String {
    let reigns = reigns(run, history);
    let troubled: BTreeSet<&str> = history
        .iter()
        .filter(|event| event.f == Function::Process && (says(event, ENDED) || says(event, FROZEN)))
        .filter(|event| event.t < run.quiet_at.unwrap_or(scale.length))
        .map(|event| event.proc.as_str())
        .filter(|name| !run.pollers.iter().any(|poller| poller == name))
        .collect();
    let pollers = run.pollers.iter().map(String::as_str);
    pollers.chain(troubled).map(|name| lane(name, &reigns, history, scale, faults)).collect()
}

fn lane(
    name: &str,
    reigns: &[Reign<'_>],
    history: &[Event],
    scale: &Scale,
    faults: &[Spell],
) -> String {
    let mut drawing = faults::shade(scale, faults);
    let (mut labels, mut described) = (String::new(), Vec::new());
    for (class, from, to) in absences(name, history, scale) {
        drawing.push_str(&scale.bar(class, from, to, 25.0, 50.0));
        described.push(format!("{class} from {} to {}", duration(from), duration(to)));
    }
    for reign in reigns.iter().filter(|reign| reign.claim.proc == name) {
        let Reign { claim, acted, until, released } = reign;
        drawing.push_str(&scale.bar("silent", *acted, *until, 15.0, 70.0));
        drawing.push_str(&scale.bar("leads", claim.t, *acted, 15.0, 70.0));
        drawing.push_str(&scale.bar("claim", claim.t, claim.t, 0.0, 100.0));
        if *released {
            drawing.push_str(&scale.bar("release", *until, *until, 0.0, 100.0));
        }
        let text = named(claim);
        let roomy = scale.x(*until) - scale.x(claim.t) > ROOMY;
        let short = if roomy { &text } else { text.trim_start_matches("term ") };
        labels.push_str(&scale.label("inside", claim.t, *until, &[short]));
        described.push(format!(
            "leads in {text} from {} to {}",
            duration(claim.t),
            duration(*until)
        ));
    }
    for stray in strays(name, reigns, history) {
        drawing.push_str(&scale.bar("stray", stray.t, stray.t, 0.0, 100.0));
        described.push(format!("publishes without leading at {}", duration(stray.t)));
    }
    if described.is_empty() {
        described.push("stands by".to_owned());
    }
    let described = format!("{name}: {}", described.join("; "));
    let lane = Lane {
        class: "replica",
        name,
        note: "",
        described: &described,
        drawing: &drawing,
        labels: &labels,
    };
    lane.html()
}

/// What it published in a term in which it led no more.
fn strays<'a>(name: &str, reigns: &[Reign<'_>], history: &'a [Event]) -> Vec<&'a Event> {
    let late = |event: &&Event| {
        let published = event.f == Function::Publish && event.kind == Kind::Ok;
        published
            && event.proc == name
            && reigns.iter().any(|reign| {
                reign.claim.term == event.term && reign.claim.proc == name && reign.until < event.t
            })
    };
    history.iter().filter(late).collect()
}

/// When a process was dead or frozen.
fn absences(name: &str, history: &[Event], scale: &Scale) -> Vec<(&'static str, u64, u64)> {
    let mut absences = Vec::new();
    let mut since: Option<(&'static str, u64)> = None;
    let its = |event: &&Event| event.f == Function::Process && event.proc == name;
    for event in history.iter().filter(its) {
        if says(event, STARTED) || says(event, WOKEN) {
            absences.extend(since.take().map(|(class, from)| (class, from, event.t)));
        } else if says(event, ENDED) {
            absences.extend(since.take().map(|(class, from)| (class, from, event.t)));
            since = Some(("dead", event.t));
        } else if says(event, FROZEN) {
            since = Some(("frozen", event.t));
        }
    }
    absences.extend(since.map(|(class, from)| (class, from, scale.length)));
    absences
}

/// In words, each with its time.
pub(super) fn lines(history: &[Event]) -> Vec<(u64, String)> {
    let line = |event: &Event| {
        let (who, at) = (escape(&event.proc), event.server.as_deref().unwrap_or_default());
        let what = match (event.f, event.kind) {
            (Function::Acquire, Kind::Ok) => {
                format!("<b>{who}</b> claims {}, at {}", named(event), escape(at))
            }
            (Function::Release, Kind::Ok) => format!("<b>{who}</b> gives the lease back"),
            (Function::Reap, Kind::Ok) => match event.term {
                Some(dead) => format!("<b>{who}</b> finds the leader of {} dead", term(dead)),
                None => format!("<b>{who}</b> finds the leader dead"),
            },
            (Function::Process, _)
                if [STARTED, ENDED, FROZEN, WOKEN].iter().any(|what| says(event, what)) =>
            {
                format!("<b>{who}</b> {}", escape(event.note.as_deref().unwrap_or_default()))
            }
            _ => return None,
        };
        Some((event.t, what))
    };
    history.iter().filter_map(line).collect()
}
