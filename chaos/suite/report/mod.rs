//! What a run leaves in its directory: its facts, its verdict, and a page that shows at one look who led
//! when, what broke, and what each endpoint's readers saw.

mod endpoints;
mod faults;
mod leaders;
mod markup;
mod promises;
mod scale;
mod streams;
#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests;

use std::fs;
use std::path::Path;

use self::markup::{duration, escape, term};
use self::scale::Scale;
use crate::checker::{State, Verdict};
use crate::history::Event;
use crate::run::{Bound, Outcome, Run};

/// Writes `run.json`, `verdict.json` and `timeline.html` into a directory that is there. The history is
/// sorted by time.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(
    directory: &Path,
    run: &Run,
    history: &[Event],
    verdict: &Verdict,
) -> Outcome<()> {
    fs::write(directory.join("run.json"), serde_json::to_vec_pretty(run)?)?;
    fs::write(directory.join("timeline.html"), page(run, history, verdict))?;
    // Last, since it is what others wait for.
    fs::write(directory.join("verdict.json"), serde_json::to_vec_pretty(verdict)?)?;
    Ok(())
}

/// The page, with all that it needs.
fn page(run: &Run, history: &[Event], verdict: &Verdict) -> String {
    let scale = Scale::of(history);
    let faults = faults::of(history);
    let lanes = [
        scale.axis(),
        promises::lane(verdict, &scale, &faults),
        faults::lane(&scale, &faults),
        leaders::lanes(run, history, &scale, &faults),
        streams::lane(history, &scale, &faults),
        endpoints::lanes(run, history, &scale, &faults),
        scale.axis(),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{} – {}</title>\n<style>\n{}</style>\n</head>\n<body>\n{}\n<main>\n\
         <section class=\"panel chart\" aria-label=\"Timeline\" style=\"--step:{:.3}%\">\n{}{}</section>\n{}{}</main>\n\
         </body>\n</html>\n",
        word(verdict.state),
        escape(&run.fault),
        include_str!("page.css"),
        header(run, history, verdict),
        scale.percent(scale.step() * 1_000_000),
        lanes.concat(),
        KEY,
        promises::table(verdict),
        story(run, history, &faults),
    )
}

/// What the marks of the chart mean.
const KEY: &str = "<ul class=\"key\">\
    <li><i class=\"k-leads\"></i>leads</li><li><i class=\"k-silent\"></i>holds the lease, does nothing</li>\
    <li><i class=\"k-dead\"></i>not running</li><li><i class=\"k-frozen\"></i>frozen</li>\
    <li><i class=\"k-fault\"></i>under a fault</li><li><i class=\"k-tick\"></i>publications</li>\
    <li><i class=\"k-gap\"></i>nothing current</li><li><i class=\"k-delay\"></i>delay until the slowest \
    stream has it (full height: 1 s)</li><li><i class=\"k-stale\"></i>readers are told that it is stale\
    </li></ul>\n";

fn word(state: State) -> &'static str {
    match state {
        State::Valid => "valid",
        State::Invalid => "invalid",
        State::Unknown => "unknown",
    }
}

fn header(run: &Run, history: &[Event], verdict: &Verdict) -> String {
    let state = word(verdict.state);
    let why = match verdict.state {
        State::Valid => "Every promise was kept.".to_owned(),
        _ => verdict.why(),
    };
    let length = history.last().map_or(0, |event| event.t);
    let timing = &run.timing;
    format!(
        "<header>\n<p class=\"state {state}\">{state}</p>\n<div><h1>{}</h1>\n\
         <p class=\"soft\">{}</p></div>\n<p class=\"why\">{}</p>\n<dl class=\"facts\">\
         <div><dt>Measured</dt><dd>{}</dd></div><div><dt>Lease</dt><dd>{} / {} / {}</dd></div>\
         <div><dt>Lasted</dt><dd>{}</dd></div><div><dt>Seed</dt><dd>{}</dd></div>\
         <div class=\"wide\"><dt>Once more</dt><dd><code>{}</code></dd></div></dl>\n</header>",
        escape(&run.title),
        escape(&run.fault),
        escape(&why),
        measured(run, verdict),
        duration(timing.lease_ms * 1000),
        duration(timing.deadline_ms * 1000),
        duration(timing.retry_ms * 1000),
        duration(length),
        run.seed,
        escape(&run.command),
    )
}

fn measured(run: &Run, verdict: &Verdict) -> String {
    let (what, bound) = match run.bound {
        Bound::Takeover(ms) => ("takeover", ms),
        Bound::HandOver(ms) => ("hand-over", ms),
        Bound::Level(ms) => ("all level after", ms),
        Bound::None => return "nothing: no bound".to_owned(),
    };
    let bound = duration(bound * 1000);
    match (verdict.measured.iter().max(), verdict.measured.len()) {
        (None, _) => format!("no {what} (at most {bound})"),
        (Some(one), 1) => format!("{what} <b>{}</b> of at most {bound}", duration(*one)),
        (Some(worst), count) => {
            format!("{what} <b>{}</b> at worst of {count}, of at most {bound}", duration(*worst))
        }
    }
}

/// What happened, in words: all that the chart shows of faults and leaders.
fn story(run: &Run, history: &[Event], faults: &[faults::Spell]) -> String {
    let mut lines: Vec<(u64, String)> = faults::lines(faults);
    lines.extend(leaders::lines(history));
    lines.extend(run.quiet_at.map(|t| (t, "All is <b>quiet</b>".to_owned())));
    lines.sort();
    let items: String = lines
        .iter()
        .map(|(t, what)| format!("<li><time>{:.3} s</time> {what}</li>\n", *t as f64 / 1e6))
        .collect();
    format!(
        "<section class=\"panel\"><h2>What happened</h2>\n<ol class=\"story\">\n{items}</ol></section>\n"
    )
}

/// A term in words, without its many digits where they do not matter.
fn named(event: &Event) -> String {
    event.term.map(term).unwrap_or_default()
}
