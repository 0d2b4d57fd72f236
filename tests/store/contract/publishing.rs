use bytes::Bytes;
use pollux::model::{Publication, Version};
use pollux::store::{Batch, DatedBeat, PollState, Published, ReleaseReason, Standing, Store};

use crate::setup::{
    batch, beat, expired_claim, lead, name, next, on_every_store, publish, read, updates,
};

on_every_store!(
    a_beat_that_comes_too_late_is_not_passed_on,
    batches_take_effect_in_order,
    the_channel_brings_the_exact_bytes_in_order_and_the_beat_last,
    a_batch_of_checks_and_states_publishes_nothing,
    a_publication_out_of_sequence_is_fenced_and_changes_nothing,
    a_publication_of_a_deposed_claim_is_fenced_and_changes_nothing,
    a_publication_after_the_release_is_fenced,
    a_late_duplicate_is_fenced_and_not_published_twice,
    a_lease_that_has_ended_unnoticed_does_not_fence,
);

/// What the record says of a claim that has published up to `sequence`.
fn standing(claim: &pollux::store::Claim, sequence: u64) -> Published {
    let (term, lease) = (claim.term, claim.lease().to_string());
    Published::Fenced(Some(Standing { term, lease, sequence }))
}

/// Everything that a fenced batch must leave as it is.
async fn everything(store: &dyn Store) -> String {
    let endpoints = ["a", "b"];
    let reading = read(store, &endpoints).await;
    let resumed = store.resume(&endpoints.map(name)).await.unwrap();
    let record = store.observe().await.unwrap().record;
    format!("{:?} {:?} {resumed:?} {record:?}", reading.version, reading.snapshots)
}

async fn batches_take_effect_in_order(store: &dyn Store) {
    let claim = lead(store).await;
    let (first, second) = (batch(&claim, 0, &["a", "b"]), batch(&claim, 2, &["a"]));
    publish(store, &claim, &first).await;
    publish(store, &claim, &second).await;
    let reading = read(store, &["a", "b"]).await;
    assert_eq!(reading.version, Version::new(claim.term, 3));
    let newest = [second.items[0].publication.clone(), first.items[1].publication.clone()];
    assert_eq!(reading.snapshots, newest);
}

async fn the_channel_brings_the_exact_bytes_in_order_and_the_beat_last(store: &dyn Store) {
    let claim = lead(store).await;
    let mut updates = updates(store).await;
    let sent = Batch { beat: beat(&claim, 3).beat, ..batch(&claim, 0, &["a", "b", "a"]) };
    publish(store, &claim, &sent).await;
    for item in &sent.items {
        assert_eq!(next(&mut updates).await, *item.publication.json());
    }
    assert_eq!(Some(next(&mut updates).await), sent.beat.map(|beat| beat.json));
}

async fn a_batch_of_checks_and_states_publishes_nothing(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a"])).await;
    let mut updates = updates(store).await;
    let state = PollState {
        etag: Some("\"new\"".into()),
        failures: 6,
        retry_at: Some(claim.now + 4_000),
        rest_until: Some(claim.now + 3_500),
        ..PollState::default()
    };
    let checked_at = claim.now + 7;
    let quiet = Batch {
        after: 1,
        checked: vec![(name("a"), checked_at)],
        states: vec![(name("a"), state.clone())],
        ..Batch::default()
    };
    publish(store, &claim, &quiet).await;
    let resumed = store.resume(&[name("a")]).await.unwrap();
    assert_eq!((&resumed[0].state, resumed[0].checked_at), (&state, Some(checked_at)));
    let last = beat(&claim, 1);
    publish(store, &claim, &last).await;
    assert_eq!(Some(next(&mut updates).await), last.beat.map(|beat| beat.json));
}

async fn a_publication_out_of_sequence_is_fenced_and_changes_nothing(store: &dyn Store) {
    let claim = lead(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a", "b"])).await;
    let before = everything(store).await;
    let mut updates = updates(store).await;
    for wrong in [0, 1, 3] {
        let answer = store.publish(&claim, &batch(&claim, wrong, &["a"])).await.unwrap();
        assert_eq!(answer, standing(&claim, 2));
        assert_eq!(everything(store).await, before);
    }
    let right = batch(&claim, 2, &["a"]);
    publish(store, &claim, &right).await;
    assert_eq!(next(&mut updates).await, *right.items[0].publication.json());
}

async fn a_publication_of_a_deposed_claim_is_fenced_and_changes_nothing(store: &dyn Store) {
    let deposed = expired_claim(store).await;
    let successor = lead(store).await;
    let before = everything(store).await;
    let mut updates = updates(store).await;
    let late = Batch { beat: beat(&deposed, 1).beat, ..batch(&deposed, 0, &["a"]) };
    let answer = store.publish(&deposed, &late).await.unwrap();
    assert_eq!(answer, standing(&successor, 0));
    assert_eq!(everything(store).await, before);
    let good = batch(&successor, 0, &["a"]);
    publish(store, &successor, &good).await;
    assert_eq!(next(&mut updates).await, *good.items[0].publication.json());
}

async fn a_publication_after_the_release_is_fenced(store: &dyn Store) {
    let claim = lead(store).await;
    store.release(&claim, ReleaseReason::Asked).await.unwrap();
    let answer = store.publish(&claim, &batch(&claim, 0, &["a"])).await.unwrap();
    assert!(matches!(answer, Published::Fenced(Some(Standing { lease, .. })) if lease.is_empty()));
    assert!(read(store, &["a"]).await.snapshots.is_empty());
}

async fn a_late_duplicate_is_fenced_and_not_published_twice(store: &dyn Store) {
    let claim = lead(store).await;
    let mut updates = updates(store).await;
    let (first, second) = (batch(&claim, 0, &["a"]), batch(&claim, 1, &["b"]));
    publish(store, &claim, &first).await;
    assert_eq!(store.publish(&claim, &first).await.unwrap(), standing(&claim, 1));
    publish(store, &claim, &second).await;
    assert_eq!(store.publish(&claim, &first).await.unwrap(), standing(&claim, 2));
    let last = beat(&claim, 2);
    publish(store, &claim, &last).await;
    assert_eq!(next(&mut updates).await, *first.items[0].publication.json());
    assert_eq!(next(&mut updates).await, *second.items[0].publication.json());
    assert_eq!(Some(next(&mut updates).await), last.beat.map(|beat| beat.json));
}

async fn a_lease_that_has_ended_unnoticed_does_not_fence(store: &dyn Store) {
    let ended = expired_claim(store).await;
    publish(store, &ended, &batch(&ended, 0, &["a"])).await;
}

async fn a_beat_that_comes_too_late_is_not_passed_on(store: &dyn Store) {
    let claim = lead(store).await;
    let mut updates = updates(store).await;
    let dated = |after, until| {
        let beat = beat(&claim, after).beat.map(|beat| DatedBeat { until, ..beat });
        Batch { beat, ..batch(&claim, after, &["a"]) }
    };
    publish(store, &claim, &dated(0, claim.now.saturating_sub(1))).await;
    publish(store, &claim, &dated(1, claim.now + 3_600_000)).await;
    let publication = |message: Bytes| Publication::decode(message).map(|made| made.version).ok();
    assert_eq!(publication(next(&mut updates).await), Some(Version::new(claim.term, 1)));
    assert_eq!(publication(next(&mut updates).await), Some(Version::new(claim.term, 2)));
    assert_eq!(publication(next(&mut updates).await), None, "the beat of the second batch");
}
