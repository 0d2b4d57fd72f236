//! 12 and 13: what processes take, and what they say of themselves.

use super::story::{HEAL, Story, event};
use crate::history::{Event, Function, Kind, STARTED};
use crate::run::Invariant::{HonestTelemetry, Isolation};

fn usage(what: &str, value: f64) -> Event {
    event("idas", Kind::Info, Function::Usage).note(what).value(value)
}

#[test]
fn memory_and_files_have_caps() {
    for (what, well, ill) in [("resident", 2.6e8, 2.7e8), ("files", 520.0, 521.0)] {
        let mut story = Story::valid();
        story.add(HEAL, usage(what, well));
        story.holds(Isolation);
        story.add(HEAL, usage(what, ill));
        story.breaks(Isolation, &format!("idas has {ill} {what}"));
    }
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Usage);
    story.is_unknown(Isolation, "no use of memory");
}

#[test]
fn an_endpoint_that_fails_delays_no_other() {
    let failed = event("pollux", Kind::Fail, Function::Poll).endpoint("calm");
    let mut story = Story::valid();
    story.add(12_000, failed.clone().error("Status(500)"));
    story.add(14_000, failed.clone().error("Status(500)"));
    story.holds(Isolation);
    let is_fast =
        |event: &Event| event.f == Function::Poll && event.endpoint.as_deref() == Some("fast");
    story.remove(12_000..12_200, is_fast);
    story.holds(Isolation);
    story.remove(12_200..12_500, is_fast);
    story.breaks(Isolation, "fast was polled 15 times of 20");

    // Those that the poller itself broke off are no failures of the backend.
    let mut story = Story::valid();
    story.remove(12_000..14_000, is_fast);
    story.add(12_000, failed.clone().error("the poller left"));
    story.add(14_000, failed.error("the poller left"));
    story.holds(Isolation);
}

fn says(name: &'static str) -> impl Fn(&Event) -> bool {
    move |event| event.f == Function::Metric && event.note.as_deref() == Some(name)
}

fn by(proc: &'static str, name: &'static str) -> impl Fn(&Event) -> bool {
    move |event| event.proc == proc && says(name)(event)
}

#[test]
fn one_says_that_it_leads_and_does() {
    let to = |value: f64| move |event: &mut Event| event.value = Some(value);
    for (proc, name, value, why) in [
        ("castor", "pollux_is_leader", 1.0, "two say that they lead"),
        ("pollux", "pollux_is_leader", 0.0, "no replica says"),
        ("helena", "pollux_has_leader", 0.0, "helena sees no leader"),
        ("pollux", "pollux_term", 1000.0, "not that of the record"),
        ("helena", "pollux_leader_changes_total", 4.0, "counts more changes"),
    ] {
        let mut story = Story::valid();
        story.change(0, by(proc, name), to(value));
        story.breaks(HonestTelemetry, why);
    }
    let mut story = Story::valid();
    story.change(
        0,
        |event| event.f == Function::Record,
        |event| event.note = Some("helena".into()),
    );
    story.breaks(HonestTelemetry, "pollux says that it leads");
}

#[test]
fn accepted_publications_were_taken() {
    const ACCEPTED: &str = "pollux_publications_total{outcome=\"accepted\"}";
    let mut story = Story::valid();
    let taken = story.accepted();
    story.change(0, by("pollux", ACCEPTED), |event| event.value = Some(taken + 1.0));
    story.breaks(HonestTelemetry, &format!("more publications than the {taken} that Redis took"));
    // What was counted before it was started anew is forgotten.
    let mut story = Story::valid();
    story.change(0, by("castor", ACCEPTED), |event| event.value = Some(1.0));
    story.breaks(HonestTelemetry, "castor counts more publications than the 0");
    story.remove(HEAL - 200..HEAL, |event| event.note.as_deref() == Some(STARTED));
    story.holds(HonestTelemetry);
}

#[test]
fn without_metrics_or_the_record_nothing_is_known_of_them() {
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Record);
    story.is_unknown(HonestTelemetry, "the record");
    story.remove(0..60_000, |event| event.f == Function::Metric);
    story.is_unknown(HonestTelemetry, "no metric");
}
