//! 1, 2 and 11: what Redis took, in its order.

use super::story::{CLAIM, HEAL, Story, event, publish, redis};
use crate::history::{Event, Function, Kind, WATCHED};
use crate::run::Invariant::{ReleaseIsFinal, TermsAreUnique, WritersAreOrdered};

fn elsewhere(event: Event) -> Event {
    event.server("redis-2", "run-2")
}

/// The sequence that the second leader had come to before `t`, in ms.
fn sequence_at(story: &Story, t: u64) -> u64 {
    let before = story.events.iter().filter(|event| {
        event.t < t * 1000 && event.f == Function::Publish && event.term == Some(2000)
    });
    before.filter_map(|event| event.seq).max().expect("it had published")
}

#[test]
fn one_lease_and_term_has_one_replica() {
    let mut story = Story::valid();
    // The same may claim the same again.
    story.add(CLAIM + 5, redis("pollux", Function::Acquire).term(2000).lease("7d0"));
    story.holds(TermsAreUnique);
    story.add(HEAL, redis("helena", Function::Acquire).term(2000).lease("7d0"));
    story.breaks(TermsAreUnique, "pollux and helena");
}

#[test]
fn claims_grow() {
    for (term, claim) in [(2000, redis as fn(&str, Function) -> Event), (1999, redis)] {
        let mut story = Story::valid();
        story.add(HEAL, claim("helena", Function::Acquire).term(term).lease("ff"));
        story.breaks(TermsAreUnique, "no higher term");
    }
    // On a server that knows nothing of it too, if it is later for sure.
    let mut story = Story::valid();
    let claim = elsewhere(redis("helena", Function::Acquire)).term(1999).lease("ff");
    story.add(CLAIM + 200, claim.clone());
    story.holds(TermsAreUnique);
    story.add(CLAIM + 300, Event { lease: Some("fe".to_owned()), ..claim });
    story.breaks(TermsAreUnique, "no higher term");
}

#[test]
fn a_term_is_published_under_in_one_place() {
    let mut story = Story::valid();
    let claim = elsewhere(redis("helena", Function::Acquire)).term(2000).lease("ff");
    story.add(HEAL, claim);
    story.add(HEAL + 1, elsewhere(redis("helena", Function::Publish)).term(2000));
    story.holds(TermsAreUnique);
    story.add(HEAL + 2, elsewhere(publish("helena", 2000, 1, "fast", "fast-90")));
    story.breaks(TermsAreUnique, "published under twice");
}

#[test]
fn without_claims_nothing_is_known_of_terms() {
    let mut story = Story::valid();
    story.remove(0..60_000, |event| event.f == Function::Acquire);
    story.is_unknown(TermsAreUnique, "no claim");
    story.remove(0..60_000, |event| event.f == Function::Publish);
    story.is_unknown(WritersAreOrdered, "no publication");
    story.is_unknown(ReleaseIsFinal, "no publication");
}

#[test]
fn a_leader_that_was_replaced_publishes_nothing() {
    // The fence is open: castor wakes up.
    let mut story = Story::valid();
    story.add(HEAL, publish("castor", 1000, 80, "fast", "fast-79"));
    story.breaks(WritersAreOrdered, "not the claimed term");
    // Even where the claim was not seen.
    story.remove(0..60_000, |event| event.f == Function::Acquire);
    story.breaks(WritersAreOrdered, "terms fall");
}

#[test]
fn nothing_takes_effect_twice_and_nothing_is_left_out() {
    let publishes = |event: &Event| event.f == Function::Publish;
    let mut twice = Story::valid();
    twice.change(HEAL, publishes, |event| event.seq = event.seq.map(|seq| seq - 1));
    twice.breaks(WritersAreOrdered, "does not follow");
    let mut skipped = Story::valid();
    skipped.remove(HEAL..HEAL + 10, publishes);
    skipped.breaks(WritersAreOrdered, "does not follow");
    // Unless the recorder was away.
    let watch = event("redis-1", Kind::Info, Function::Process).note(WATCHED);
    skipped.add(HEAL + 50, watch.clone());
    skipped.holds(WritersAreOrdered);
    let last = sequence_at(&twice, HEAL - 1);
    twice.add(HEAL - 50, watch);
    twice.breaks(WritersAreOrdered, &format!("2000-{last} does not follow 2000-{last}"));
}

#[test]
fn a_term_begins_with_its_first_publication() {
    let mut story = Story::valid();
    story.remove(CLAIM..CLAIM + 20, |event| event.f == Function::Publish && event.seq == Some(1));
    story.breaks(WritersAreOrdered, "first of its term");
}

#[test]
fn an_empty_batch_keeps_the_sequence() {
    let mut story = Story::valid();
    let empty = |seq| Event { seq: Some(seq), ..redis("pollux", Function::Publish).term(2000) };
    let at = sequence_at(&story, HEAL);
    story.add(HEAL - 1, empty(at));
    story.holds(WritersAreOrdered);
    story.add(HEAL - 1, empty(at - 1));
    story.breaks(WritersAreOrdered, &format!("2000-{} does not follow 2000-{at}", at - 1));
}

#[test]
fn nothing_is_accepted_after_a_release() {
    let mut story = Story::valid();
    story.add(CLAIM - 140, redis("castor", Function::Release).term(1000));
    story.holds(ReleaseIsFinal);
    story.add(CLAIM - 130, publish("castor", 1000, 80, "fast", "fast-79"));
    story.breaks(ReleaseIsFinal, "after it released 1000");
    story.holds(WritersAreOrdered);
}
