//! 4, 5, 6 and 10: what readers get and are told.

use pollux::model::Version;

use super::story::{FAULT, HEAL, QUIET, Story, event, publish, read};
use crate::history::{Event, FROZEN, Function, Kind, WATCHED, WOKEN};
use crate::run::Invariant::{Integrity, NothingCurrentIsLost, ReadsAreMonotonic, StalenessIsSaid};

fn connect(kind: Kind) -> Event {
    event("sse-9", kind, Function::Connect).gateway("idas").note("fast,calm")
}

#[test]
fn versions_grow_on_a_stream() {
    for older in [Version::new(1000, 90), Version::new(1000, 1), Version::new(2000, 10)] {
        let mut story = Story::valid();
        story.add(HEAL + 50, read("sse-1", older.term, older.sequence, "calm", "calm-3"));
        story.breaks(ReadsAreMonotonic, "and is given");
    }
}

#[test]
fn a_stream_goes_on_from_what_its_client_has() {
    let has = Version::new(1000, 40);
    for (sequence, well) in [(41, true), (40, false), (39, false)] {
        let mut story = Story::valid();
        story.add(7001, connect(Kind::Invoke).version(has));
        story.add(7002, connect(Kind::Ok));
        story.add(7003, read("sse-9", 1000, sequence, "fast", "fast-42"));
        story.add(7004, connect(Kind::Info).error("the reader left"));
        if well {
            // It begins anew and gets what it had before.
            story.add(7005, connect(Kind::Invoke));
            story.add(7006, read("sse-9", 1000, 3, "calm", "calm-0"));
            story.holds(ReadsAreMonotonic);
        } else {
            story.breaks(ReadsAreMonotonic, "sse-9 has 1000-40 and is given");
        }
    }
}

#[test]
fn who_asks_again_gets_nothing_older() {
    let mut story = Story::valid();
    let again = Event { hash: None, ..read("get-1", 2000, 17, "fast", "") };
    story.add(HEAL, again);
    story.add(HEAL - 50, read("get-1", 1000, 1, "calm", "calm-0"));
    story.breaks(ReadsAreMonotonic, "of calm and is given 1000-1");
}

#[test]
fn without_reads_nothing_is_known_of_them() {
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Read);
    story.is_unknown(ReadsAreMonotonic, "no read");
    story.is_unknown(NothingCurrentIsLost, "no read");
    story.is_unknown(Integrity, "no read");
    story.remove(0..60_000, |event| event.f == Function::Connect);
    story.is_unknown(StalenessIsSaid, "no stream");
}

#[test]
fn in_the_end_everybody_has_the_newest() {
    for reader in ["sse-1", "restless", "get-1"] {
        let mut story = Story::valid();
        story.remove(17_900..60_000, |event| {
            event.f == Function::Read && event.proc == reader && event.hash.is_some()
        });
        if reader == "get-1" {
            story.add(QUIET - 100, Event { hash: None, ..read(reader, 2000, 1, "fast", "") });
        }
        story.breaks(NothingCurrentIsLost, &format!("{reader} is left with an old"));
    }
    let mut story = Story::valid();
    story.remove(0..60_000, |event| {
        event.f == Function::Read
            && event.proc == "sse-2"
            && event.endpoint.as_deref() == Some("calm")
    });
    story.breaks(NothingCurrentIsLost, "sse-2 never got calm");
    // A client that left long before has no claim to it.
    story.add(9000, event("sse-2", Kind::Info, Function::Connect));
    story.holds(NothingCurrentIsLost);
}

#[test]
fn in_the_end_redis_holds_what_it_took() {
    let mut story = Story::valid();
    let is_snapshot = |event: &Event| event.f == Function::Snapshot;
    story.change(QUIET, is_snapshot, |event| event.hash = Some("fast-1".to_owned()));
    story.breaks(NothingCurrentIsLost, "redis-1 lost the last publication of fast");
    // One that follows another server has what that took.
    let mut other = Story::valid();
    let late = publish("castor", 1000, 90, "fast", "fast-79").server("redis-2", "run-2");
    other.add(FAULT, late);
    let mut follows = event("redis-2", Kind::Info, Function::Snapshot).endpoint("fast");
    (follows.term, follows.seq) = (Some(1000), Some(91));
    follows.hash = Some("fast-180".to_owned());
    other.add(QUIET + 100, follows);
    other.holds(NothingCurrentIsLost);
    story.remove(0..60_000, is_snapshot);
    story.is_unknown(NothingCurrentIsLost, "no snapshot");
}

#[test]
fn bodies_are_served_before_they_are_read() {
    let fast = |event: &Event| event.endpoint.as_deref() == Some("fast");
    let to = |hash: &'static str| move |event: &mut Event| event.hash = Some(hash.to_owned());
    let mut story = Story::valid();
    story.change(HEAL, |event| event.f == Function::Read && fast(event), to("other"));
    story.breaks(Integrity, "fast never served this body whole");
    let mut story = Story::valid();
    story.change(HEAL, |event| event.f == Function::Publish && fast(event), to("calm-2"));
    story.breaks(Integrity, "a body of another endpoint under fast");
    let mut story = Story::valid();
    story.change(HEAL, |event| event.f == Function::Read && fast(event), to("fast-110"));
    story.breaks(Integrity, "never served");
    let mut story = Story::valid();
    story.add(HEAL, event("sse-1", Kind::Fail, Function::Read).error("malformed"));
    story.breaks(Integrity, "what nobody should be given");
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Poll && event.kind == Kind::Ok);
    story.is_unknown(Integrity, "no answer");
}

const READERS: [&str; 3] = ["sse-1", "sse-2", "restless"];

/// From 11 s to 15.5 s no check of `fast` is good. Its age passes 3 s at 14 s.
fn outage() -> Story {
    let mut story = Story::valid();
    story.remove(11_000..15_500, |event| {
        let bad = matches!(event.f, Function::Check | Function::Publish | Function::Read);
        bad && event.endpoint.as_deref() == Some("fast")
    });
    story
}

fn told(story: &mut Story, t: u64, f: Function) {
    for reader in READERS {
        story.add(t, event(reader, Kind::Info, f).endpoint("fast").gateway("idas"));
    }
}

#[test]
fn readers_are_told_of_staleness_and_of_its_end() {
    for (stale, fresh, says) in [
        (14_000, 15_510, None),
        (15_100, 16_600, None),
        (15_300, 16_600, Some("was not told")),
        (14_000, 16_800, Some("not told that fast is fresh again")),
    ] {
        let mut story = outage();
        told(&mut story, stale, Function::Stale);
        told(&mut story, fresh, Function::Fresh);
        match says {
            None => story.holds(StalenessIsSaid),
            Some(says) => story.breaks(StalenessIsSaid, says),
        }
    }
    outage().breaks(StalenessIsSaid, "was not told");
}

#[test]
fn who_comes_later_is_told_within_a_second() {
    let mut story = outage();
    told(&mut story, 14_000, Function::Stale);
    told(&mut story, 15_510, Function::Fresh);
    story.add(14_100, connect(Kind::Invoke));
    story.add(14_101, connect(Kind::Ok));
    story.add(15_400, connect(Kind::Info).error("the reader left"));
    story.breaks(StalenessIsSaid, "sse-9 was not told");
    let stale = event("sse-9", Kind::Info, Function::Stale).endpoint("fast");
    story.add(15_300, stale.clone());
    story.holds(StalenessIsSaid);
}

#[test]
fn a_reader_that_is_slow_or_gone_shows_nothing() {
    let mut story = outage();
    told(&mut story, 14_000, Function::Stale);
    told(&mut story, 15_510, Function::Fresh);
    for name in ["slow", "sse-9"] {
        story.add(102, Event { proc: name.to_owned(), ..connect(Kind::Invoke) });
        story.add(103, Event { proc: name.to_owned(), ..connect(Kind::Ok) });
    }
    story.breaks(StalenessIsSaid, "sse-9 was not told");
    let mut stopped = story.clone();
    let process = |note| event("sse-9", Kind::Info, Function::Process).note(note);
    stopped.add(11_500, process(FROZEN));
    stopped.add(15_200, process(WOKEN));
    stopped.holds(StalenessIsSaid);
    story.add(15_000, connect(Kind::Info).error("gone"));
    story.holds(StalenessIsSaid);
}

#[test]
fn what_a_recorder_may_have_missed_excuses() {
    let mut story = outage();
    story.add(13_000, event("redis-1", Kind::Info, Function::Process).note(WATCHED));
    story.holds(StalenessIsSaid);
}

#[test]
fn nothing_fresh_is_called_stale() {
    // In peace, and right after a body that is young, whatever else is wrong.
    for t in [FAULT - 1000, FAULT + 500] {
        let mut story = Story::valid();
        told(&mut story, t, Function::Stale);
        told(&mut story, t + 1, Function::Fresh);
        story.breaks(StalenessIsSaid, "is stale, which it was not");
    }
    // While a fault lasts a gateway may not have heard of checks.
    let mut story = Story::valid();
    story.remove(FAULT..HEAL + 2000, |event| event.f == Function::Read && event.proc == "sse-1");
    let about = |f| event("sse-1", Kind::Info, f).endpoint("fast");
    story.add(HEAL + 1000, about(Function::Stale));
    story.add(HEAL + 2010, about(Function::Fresh));
    story.holds(StalenessIsSaid);
}

#[test]
fn in_peace_each_check_counts_without_a_publication() {
    let calm_of = |reader: &'static str| {
        move |event: &Event| event.proc == reader && event.endpoint.as_deref() == Some("calm")
    };
    let about = |f| event("sse-1", Kind::Info, f).endpoint("calm");
    // All that it got last is old, and was checked again and again.
    let mut story = Story::valid();
    story.remove(3900..FAULT, calm_of("sse-1"));
    story.add(7000, about(Function::Stale));
    story.add(7010, about(Function::Fresh));
    story.breaks(StalenessIsSaid, "is stale, which it was not");

    // 9 s after the heal peace is back. A check before may not have been heard of.
    let mut story = Story::valid();
    story.remove(11_000..60_000, calm_of("sse-1"));
    story.add(HEAL + 9100, about(Function::Stale));
    story.add(HEAL + 9110, about(Function::Fresh));
    story.holds(StalenessIsSaid);
    // One after it must have been.
    let mut story = Story::valid();
    story.remove(11_000..60_000, calm_of("sse-1"));
    story.add(HEAL + 8000, about(Function::Stale));
    story.add(HEAL + 10_240, about(Function::Fresh));
    story.holds(StalenessIsSaid);
    story.remove(HEAL + 10_240..60_000, |event| event.f == Function::Fresh);
    story.breaks(StalenessIsSaid, "not told that calm is fresh again");
}
