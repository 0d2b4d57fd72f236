use super::story::{FAULT, Story, event};
use crate::checker::{Finding, State, Verdict};
use crate::history::{Event, Function, Kind};
use crate::run::{Bound, Invariant};

#[test]
fn a_run_as_it_should_be_is_valid() {
    let verdict = Story::valid().verdict();
    for entry in &verdict.invariants {
        assert_eq!(entry.finding, Finding::Held, "{:?}", entry.invariant);
    }
    assert_eq!((verdict.state, verdict.reason.as_deref()), (State::Valid, None));
    assert_eq!(verdict.invariants.len(), 14);
    assert_eq!(verdict.measured, [160_000]);
}

#[test]
fn a_verdict_is_read_as_it_was_written() {
    let mut story = Story::valid();
    story.run.spared = vec![Invariant::Isolation];
    story.remove(0..60_000, |event| event.f == Function::Metric);
    story.remove(0..60_000, |event| event.f == Function::Acquire && event.term == Some(2000));
    let verdict = story.verdict();
    let json = serde_json::to_string(&verdict).expect("a verdict is JSON");
    assert_eq!(serde_json::from_str::<Verdict>(&json).expect("it is read"), verdict);
}

#[test]
fn without_a_fault_that_landed_nothing_is_valid() {
    let is = |kind| move |event: &Event| event.f == Function::Fault && event.kind == kind;
    let mut story = Story::valid();
    story.remove(0..60_000, is(Kind::Ok));
    let verdict = story.verdict();
    assert_eq!(verdict.state, State::Unknown);
    assert!(verdict.why().contains("SIGKILL to castor"), "{}", verdict.why());

    // Another one that did not land.
    let mut story = Story::valid();
    story.add(FAULT + 500, event("harness", Kind::Invoke, Function::Fault).note("another"));
    story.run.bound = Bound::None;
    assert_eq!(story.verdict().state, State::Unknown);

    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Fault);
    assert_eq!(story.verdict().state, State::Unknown);
    assert_eq!(story.verdict().why(), "no fault was made");
}

#[test]
fn nothing_recorded_is_unknown() {
    let mut story = Story::valid();
    story.events.clear();
    let verdict = story.verdict();
    assert_eq!(verdict.state, State::Unknown);
    for entry in verdict.invariants {
        assert!(matches!(entry.finding, Finding::Unknown { .. }), "{entry:?}");
    }
}

#[test]
fn each_kind_of_record_is_needed() {
    for f in [
        Function::Acquire,
        Function::Publish,
        Function::Poll,
        Function::Read,
        Function::Usage,
        Function::Metric,
        Function::Record,
        Function::Snapshot,
        Function::Connect,
    ] {
        let mut story = Story::valid();
        story.remove(0..60_000, |event| event.f == f);
        assert_ne!(story.verdict().state, State::Valid, "without {f:?}");
    }
}

#[test]
fn a_run_that_never_became_quiet_is_invalid() {
    let mut story = Story::valid();
    story.run.quiet_at = None;
    story.breaks(Invariant::NothingCurrentIsLost, "never became quiet");
    story.run.spared = vec![Invariant::NothingCurrentIsLost];
    assert_eq!(story.verdict().state, State::Unknown);
}

#[test]
fn what_is_spared_is_not_judged() {
    let mut story = Story::valid();
    story.run.changes = 0;
    story.breaks(Invariant::NoFlapping, "changes of leader");
    story.run.spared = vec![Invariant::NoFlapping];
    assert_eq!(story.finding(Invariant::NoFlapping), Finding::Spared);
    assert_eq!(story.verdict().state, State::Valid);
}

#[test]
fn what_is_broken_is_said_before_what_is_not_known() {
    let mut story = Story::valid();
    story.run.changes = 0;
    story.remove(0..60_000, |event| event.f == Function::Fault && event.kind == Kind::Ok);
    assert_eq!(story.verdict().state, State::Invalid);
    assert!(story.verdict().why().starts_with("No flapping"), "{}", story.verdict().why());
}
