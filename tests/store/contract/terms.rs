use pollux::model::Announcement;
use pollux::store::{Cause, Channel, ClaimRequest, ReleaseReason, Store};

use crate::setup::{
    ADDRESS, REPLICA, acquire, batch, claim, expired_claim, lead, next, on_every_store, publish,
    request,
};

on_every_store!(
    the_first_term_is_the_time_of_the_store,
    a_term_exceeds_the_highest_that_the_replica_has_seen,
    a_term_exceeds_the_one_in_the_record,
    the_record_tells_who_claimed,
    a_claim_is_announced_with_its_term,
    a_repeated_claim_gets_the_same_term_and_sequence,
    a_repeated_claim_announces_nothing_new,
    the_first_claim_says_that_it_is,
    a_claim_after_a_release_says_so,
    a_claim_after_an_expiry_says_so,
    the_base_is_the_first_term_on_the_server,
);

/// A term that no clock reaches, just within what a script can count exactly: 2^53.
const FAR_AHEAD: u64 = 9_000_000_000_000_000;

async fn the_first_term_is_the_time_of_the_store(store: &dyn Store) {
    let first = lead(store).await;
    assert_eq!(first.term, first.now);
    assert!(store.survey().await.unwrap().now >= first.now);
}

async fn a_term_exceeds_the_highest_that_the_replica_has_seen(store: &dyn Store) {
    let lease = acquire(store).await;
    let ahead = claim(store, &ClaimRequest { seen: FAR_AHEAD, ..request(&lease) }).await;
    assert_eq!(ahead.term, FAR_AHEAD + 1);
}

async fn a_term_exceeds_the_one_in_the_record(store: &dyn Store) {
    let lease = acquire(store).await;
    let ahead = claim(store, &ClaimRequest { seen: FAR_AHEAD, ..request(&lease) }).await;
    store.release(&ahead, ReleaseReason::Asked).await.unwrap();
    assert_eq!(lead(store).await.term, FAR_AHEAD + 2);
}

async fn the_record_tells_who_claimed(store: &dyn Store) {
    let held = lead(store).await;
    let observation = store.observe().await.unwrap();
    let record = observation.record.unwrap();
    assert_eq!((record.term, record.sequence, record.base), (held.term, 0, held.base));
    assert_eq!((record.run_id, record.since), (observation.run_id, held.now));
    assert_eq!((&*record.replica, &*record.address), (REPLICA, ADDRESS));
    assert_eq!(record.lease, held.lease().to_string());
}

async fn a_claim_is_announced_with_its_term(store: &dyn Store) {
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    let lease = acquire(store).await;
    // A name that looks like the place where the term belongs.
    let replica = "\"term\":0 {}\\".to_owned();
    let held = claim(store, &ClaimRequest { replica: replica.clone(), ..request(&lease) }).await;
    let announced: Announcement = serde_json::from_slice(&next(&mut announcements).await).unwrap();
    assert_eq!(announced, Announcement::Claimed { term: held.term, replica });
}

async fn a_repeated_claim_gets_the_same_term_and_sequence(store: &dyn Store) {
    let first = lead(store).await;
    publish(store, &first, &batch(&first, 0, &["a", "b"])).await;
    let again = claim(store, &request(first.lease())).await;
    assert_eq!((again.term, again.sequence, again.base), (first.term, 2, first.base));
    publish(store, &again, &batch(&again, 2, &["a"])).await;
}

async fn a_repeated_claim_announces_nothing_new(store: &dyn Store) {
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    let first = lead(store).await;
    let again = claim(store, &request(first.lease())).await;
    store.release(&again, ReleaseReason::Asked).await.unwrap();
    let mut heard = Vec::new();
    for _ in 0..2 {
        heard.push(serde_json::from_slice(&next(&mut announcements).await).unwrap());
    }
    assert!(
        matches!(heard[..], [Announcement::Claimed { .. }, Announcement::Released { .. }]),
        "{heard:?}"
    );
    assert_eq!(store.survey().await.unwrap().timeline.len(), 2);
}

async fn the_first_claim_says_that_it_is(store: &dyn Store) {
    assert_eq!(lead(store).await.cause, Cause::First);
}

async fn a_claim_after_a_release_says_so(store: &dyn Store) {
    let first = lead(store).await;
    store.release(&first, ReleaseReason::Asked).await.unwrap();
    assert_eq!(lead(store).await.cause, Cause::Released);
}

async fn a_claim_after_an_expiry_says_so(store: &dyn Store) {
    expired_claim(store).await;
    assert_eq!(lead(store).await.cause, Cause::Expired);
}

async fn the_base_is_the_first_term_on_the_server(store: &dyn Store) {
    let first = lead(store).await;
    assert_eq!(first.base, first.term);
    store.release(&first, ReleaseReason::Asked).await.unwrap();
    let second = lead(store).await;
    assert!(second.term > first.term);
    assert_eq!(second.base, first.term);
}
