use super::page;
use crate::checker::tests::story::{CLAIM, FAULT, HEAL, STREAMS, Story, event, redis};
use crate::history::{Event, FROZEN, Function, Kind};

/// A run with much to see: the leader was frozen, came back, and was not fenced; an endpoint was stale.
fn eventful() -> Story {
    let mut story = Story::valid();
    let calm = |event: &Event| event.endpoint.as_deref() == Some("calm");
    story.remove(11_000..16_300, |event| calm(event) && event.f != Function::Poll);
    story.remove(11_000..16_300, |event| calm(event) && event.kind == Kind::Ok);
    for (reader, gateway) in STREAMS {
        for (t, f) in [(14_100, Function::Stale), (16_600, Function::Fresh)] {
            let told = event(reader, Kind::Info, f).endpoint("calm").gateway(gateway);
            story.add(t, told);
        }
    }
    for event in story.events.iter_mut().filter(|event| event.f == Function::Read) {
        // Some come late, and hold up those behind them.
        let number = event.seq.unwrap_or_default() % 40;
        event.t += match number {
            7..10 => 300_000 - (number - 7) * 99_000,
            _ => number * 400,
        };
    }
    let late = crate::checker::tests::story::publish("castor", 1000, 85, "fast", "fast-79");
    story.add(HEAL + 40, late);
    story.add(3000, event("helena", Kind::Info, Function::Process).note(FROZEN));
    story.add(4500, event("helena", Kind::Info, Function::Process).note(crate::history::WOKEN));
    story.add(CLAIM - 40, redis("pollux", Function::Reap).term(1000));
    story
}

fn page_of(story: &mut Story) -> String {
    story.events.sort_by_key(|event| event.t);
    let html = page(&story.run, &story.events, &story.verdict());
    assert_eq!(html.matches("<div").count(), html.matches("</div>").count());
    html
}

#[test]
fn the_page_shows_who_led_what_broke_and_what_readers_saw() {
    let html = page_of(&mut eventful());
    for shown in [
        "<p class=\"state invalid\">invalid</p>",
        "Writers are ordered: castor publishes 1000-85, which is not the claimed term",
        "<code>chaos/run leader-killed --seed 17 --lease 6s</code>",
        "takeover <b>160 ms</b> of at most 300 ms",
        "castor: dead from 8 s to 9.9 s; leads in term 1000 from 500 ms to 8 s",
        "pollux: leads in term 2000 from 8.15 s to 22 s",
        "helena: frozen from 3 s to 4.5 s",
        "SIGKILL to castor from 8 s to 10 s",
        "3 of 3 streams were told that it is stale",
        "calm: 7 publications; nothing current 1 times, at most for 7.5 s",
        "Broken promises: ",
        "Writers are ordered, at 10.040 s",
        "publishes without leading at 10.04 s",
        "<b>pollux</b> finds the leader of term 1000 dead",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    assert!(html.len() < 120_000, "{} bytes", html.len());
}

#[test]
fn whatever_was_recorded_is_escaped() {
    let mut story = Story::valid();
    let note = "<script>\"&";
    story.add(FAULT + 1, event("harness", Kind::Invoke, Function::Fault).note(note));
    let html = page_of(&mut story);
    assert!(!html.contains("<script"));
    assert!(html.contains("&lt;script&gt;&quot;&amp;"));
}

#[test]
fn the_page_of_a_run_without_a_history_is_a_page() {
    let mut story = Story::valid();
    story.events.clear();
    assert!(page_of(&mut story).contains("unknown"));
}

#[test]
fn a_run_leaves_its_facts_its_verdict_and_the_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut story = eventful();
    story.events.sort_by_key(|event| event.t);
    let verdict = story.verdict();
    super::write(directory.path(), &story.run, &story.events, &verdict).expect("it is written");
    let read = |name: &str| std::fs::read(directory.path().join(name)).expect("it is there");
    let again: crate::run::Run = serde_json::from_slice(&read("run.json")).expect("facts");
    assert_eq!(again, story.run);
    let again: crate::checker::Verdict =
        serde_json::from_slice(&read("verdict.json")).expect("a verdict");
    assert_eq!(again, verdict);
    assert!(read("timeline.html").starts_with(b"<!doctype html>"));
}
