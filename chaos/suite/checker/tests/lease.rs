//! 3, 7, 8, 9 and 14: who leads, from when, and how often that changes.

use super::story::{CLAIM, FAULT, HEAL, QUIET, Story, event, redis};
use crate::history::{Event, FROZEN, Function, Kind, WATCHED};
use crate::run::Bound;
use crate::run::Invariant::{
    NoFlapping, NobodyActsWithoutALease, OnePoller, Recovery, TakeoverInTime,
};

fn poll(proc: &str) -> Event {
    event(proc, Kind::Invoke, Function::Poll).endpoint("fast")
}

fn is_fault(kind: Kind) -> impl Fn(&Event) -> bool {
    move |event| event.f == Function::Fault && event.kind == kind
}

#[test]
fn a_leader_polls_until_its_deadline() {
    // The last renewal was at 7,500 ms. The next one would be 1 s later, and the deadline is 4 s from there.
    let mut story = Story::valid();
    story.add(12_500 + 240, poll("castor"));
    story.holds(NobodyActsWithoutALease);
    story.add(12_500 + 260, poll("castor"));
    story.breaks(NobodyActsWithoutALease, "5260 ms after its last good renewal");
    // What Redis did before it was watched again may have been a renewal.
    story.add(9000, event("redis-1", Kind::Info, Function::Process).note(WATCHED));
    story.holds(NobodyActsWithoutALease);
}

#[test]
fn a_standby_does_not_poll() {
    let mut story = Story::valid();
    story.add(HEAL, poll("helena"));
    story.breaks(NobodyActsWithoutALease, "never held");
}

#[test]
fn whoever_gave_the_lease_back_polls_no_more() {
    let mut story = Story::valid();
    story.add(FAULT + 1, redis("castor", Function::Release).term(1000));
    story.add(FAULT + 200, poll("castor"));
    story.holds(NobodyActsWithoutALease);
    story.add(FAULT + 300, poll("castor"));
    story.breaks(NobodyActsWithoutALease, "after it gave the lease back");
}

#[test]
fn without_polls_or_claims_nothing_is_known_of_leases() {
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Acquire);
    story.is_unknown(NobodyActsWithoutALease, "no claim");
    story.is_unknown(OnePoller, "no claim");
    story.remove(0..60_000, |event| event.f == Function::Poll);
    story.is_unknown(NobodyActsWithoutALease, "no poll");
    story.is_unknown(OnePoller, "no poll");
}

#[test]
fn a_takeover_has_its_bound() {
    let mut story = Story::valid();
    story.run.bound = Bound::Takeover(140);
    story.holds(TakeoverInTime);
    story.run.bound = Bound::Takeover(139);
    story.breaks(TakeoverInTime, "it took 160 ms, and 139 ms are allowed");
    // What the old leader sent before is no takeover.
    story.add(FAULT + 1, poll("castor"));
    assert_eq!(story.verdict().measured, [160_000]);

    story.remove(FAULT..60_000, |event| event.proc == "pollux");
    story.breaks(TakeoverInTime, "nobody polls in place of castor");
}

#[test]
fn a_hand_over_is_from_release_to_claim() {
    let mut story = Story::valid();
    story.run.bound = Bound::HandOver(40);
    story.is_unknown(TakeoverInTime, "nothing happened");
    story.add(CLAIM - 50, redis("castor", Function::Release).term(1000));
    story.holds(TakeoverInTime);
    assert_eq!(story.verdict().measured, [50_000]);
    story.add(CLAIM - 40, redis("castor", Function::Acquire).term(1500).lease("5dc"));
    assert_eq!(story.verdict().measured, [50_000]);
    story.run.bound = Bound::HandOver(20);
    story.breaks(TakeoverInTime, "it took 50 ms");
    // The last one, when all is over, is none.
    story.run.bound = Bound::HandOver(40);
    story.add(QUIET + 100, redis("pollux", Function::Release).term(2000));
    story.holds(TakeoverInTime);
}

#[test]
fn readers_are_level_soon_after_the_heal() {
    let mut story = Story::valid();
    story.run.bound = Bound::Level(0);
    story.holds(TakeoverInTime);
    // The next publication of the fastest endpoint reached its last reader then.
    assert_eq!(story.verdict().measured, [6000]);

    let late = |reader: &'static str| {
        move |event: &Event| event.proc == reader && event.f == Function::Read
    };
    story.remove(HEAL..HEAL + 500, late("sse-2"));
    assert_eq!(story.verdict().measured, [506_000]);
    story.breaks(TakeoverInTime, "it took 506 ms");
    story.remove(HEAL..60_000, late("sse-2"));
    story.breaks(TakeoverInTime, "sse-2 never got this");

    let mut story = Story::valid();
    story.run.bound = Bound::Level(500);
    story.remove(HEAL..60_000, |event| event.f == Function::Publish);
    story.breaks(TakeoverInTime, "nobody leads after the heal");
    story.remove(0..60_000, is_fault(Kind::Info));
    story.is_unknown(TakeoverInTime, "nothing happened");
}

#[test]
fn readers_whose_stream_ended_are_level_once_it_is_open_again() {
    let connect = |kind| event("sse-1", kind, Function::Connect).gateway("idas");
    let mut story = Story::valid();
    story.run.bound = Bound::Level(500);
    story.add(HEAL + 50, connect(Kind::Info).error("the gateway ended it"));
    story.breaks(TakeoverInTime, "sse-1 never had a stream again");
    story.add(HEAL + 200, connect(Kind::Invoke));
    story.add(HEAL + 201, connect(Kind::Fail).error("refused"));
    story.add(HEAL + 400, connect(Kind::Invoke));
    story.add(HEAL + 401, connect(Kind::Ok));
    assert_eq!(story.verdict().measured, [401_000]);
    // One that leaves by itself has its own reasons.
    let left = |event: &mut Event| event.error = Some("the reader left".to_owned());
    story.change(HEAL, |event| event.kind == Kind::Info && event.proc == "sse-1", left);
    assert_eq!(story.verdict().measured, [6000]);
    // One that was made to stop does not count, whatever it has.
    story.remove(HEAL..60_000, |event| event.proc == "sse-2");
    story.breaks(TakeoverInTime, "sse-2 never got this");
    story.add(FAULT + 10, event("sse-2", Kind::Info, Function::Process).note(FROZEN));
    assert_eq!(story.verdict().measured, [6000]);
}

#[test]
fn what_is_not_counted_has_no_bound() {
    let mut story = Story::valid();
    story.run.bound = Bound::None;
    story.holds(TakeoverInTime);
    assert!(story.verdict().measured.is_empty());
}

#[test]
fn leaders_change_as_often_as_the_fault_may_cost() {
    let mut story = Story::valid();
    story.add(HEAL, redis("helena", Function::Acquire).term(3000).lease("bb8"));
    story.breaks(NoFlapping, "2 changes of leader, where the fault may cost 1");
    story.run.changes = 2;
    story.holds(NoFlapping);
    // The same leader on a server that is new.
    story.add(HEAL + 1, redis("helena", Function::Acquire).term(3001).lease("bb8"));
    story.breaks(NoFlapping, "1 claims of a leader that stays");
    story.run.reclaims = 1;
    story.holds(NoFlapping);
    // The same replica under a new lease.
    story.add(HEAL + 2, redis("helena", Function::Acquire).term(3002).lease("bba"));
    story.breaks(NoFlapping, "4 claims");
}

#[test]
fn without_a_fault_nothing_is_known_of_changes() {
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Fault);
    story.is_unknown(NoFlapping, "no fault");
    story.is_unknown(Recovery, "no fault");
    story.is_unknown(TakeoverInTime, "nothing happened");
}

#[test]
fn one_leads_soon_after_the_heal() {
    let acts =
        |event: &Event| matches!(event.f, Function::Acquire | Function::Renew | Function::Publish);
    let mut story = Story::valid();
    story.remove(HEAL..HEAL + 6300, acts);
    story.holds(Recovery);
    story.remove(HEAL..HEAL + 6400, acts);
    story.breaks(Recovery, "nobody leads until 64");
    story.remove(HEAL..60_000, acts);
    story.breaks(Recovery, "nobody leads after the heal");
}

#[test]
fn in_the_end_one_acts() {
    let mut story = Story::valid();
    story.add(QUIET - 500, poll("castor"));
    story.breaks(Recovery, "castor and pollux act");
    story.remove(QUIET - 2000..60_000, |event| matches!(event.f, Function::Renew | Function::Poll));
    story.breaks(Recovery, "nobody leads in the end");
}

#[test]
fn the_backend_is_asked_as_one_poller_asks() {
    // From the first second on 21 s of 100 ms, less the gap at the takeover; two claims, of which one
    // after a leader that could not be told.
    let mut story = Story::valid();
    for t in 0..12 {
        story.add(HEAL + t, poll("pollux"));
    }
    story.holds(OnePoller);
    for t in 0..12 {
        story.add(HEAL + 30 + t, poll("pollux"));
    }
    story.breaks(OnePoller, "polls of fast");
    // Where it was told, no retry period is granted.
    let mut story = Story::valid();
    for t in 0..12 {
        story.add(HEAL + t, poll("pollux"));
    }
    story.add(FAULT, redis("castor", Function::Release).term(1000));
    story.breaks(OnePoller, "polls of fast");
}
