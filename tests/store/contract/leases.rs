use std::time::Duration;

use futures_util::future::join_all;
use pollux::model::Announcement;
use pollux::store::{Channel, ClaimRequest, ReleaseReason, Renewal, Store};
use uuid::Uuid;

use crate::common::eventually;
use crate::setup::{
    DEADLINE, LONG, REPLICA, acquire, claim, expired_claim, held_for, lead, next, on_every_store,
    request, until_free,
};

on_every_store!(
    a_free_lease_is_acquired_by_one_of_many,
    a_held_lease_is_acquired_by_nobody,
    an_acquired_lease_is_held_for_a_second_at_most,
    an_acquisition_that_has_ended_cannot_be_claimed,
    a_lease_of_another_cannot_be_claimed,
    a_claim_extends_the_lease_to_its_full_duration,
    a_renewal_extends_the_lease_to_its_full_duration,
    a_renewal_of_a_lease_that_has_ended_is_lost,
    a_renewal_never_extends_the_lease_of_another,
    a_release_frees_the_lease_and_says_so_in_the_record,
    a_release_is_announced,
    a_release_is_harmless_to_the_lease_of_another,
    a_second_release_changes_and_announces_nothing,
);

async fn a_free_lease_is_acquired_by_one_of_many(store: &dyn Store) {
    let acquired = join_all((0..8).map(|_| store.acquire())).await;
    assert_eq!(acquired.into_iter().flatten().count(), 1);
}

async fn a_held_lease_is_acquired_by_nobody(store: &dyn Store) {
    let held = lead(store).await;
    assert!(store.acquire().await.is_none());
    assert!(matches!(
        store.renew(&held, Uuid::new_v4()).await.unwrap(),
        Renewal::Held { now } if now >= held.now
    ));
}

async fn an_acquired_lease_is_held_for_a_second_at_most(store: &dyn Store) {
    acquire(store).await;
    assert!(held_for(store).await <= Duration::from_secs(1));
    until_free(store).await;
    acquire(store).await;
}

async fn an_acquisition_that_has_ended_cannot_be_claimed(store: &dyn Store) {
    let lease = acquire(store).await;
    until_free(store).await;
    assert!(store.claim(&request(&lease)).await.unwrap().is_none());
    let observation = store.observe().await.unwrap();
    assert!(observation.held_for.is_none());
    assert!(observation.record.is_none());
}

async fn a_lease_of_another_cannot_be_claimed(store: &dyn Store) {
    let ended = expired_claim(store).await;
    let held = lead(store).await;
    let short = Duration::from_secs(1);
    let late = ClaimRequest { duration: short, ..request(ended.lease()) };
    assert!(store.claim(&late).await.unwrap().is_none());
    assert!(held_for(store).await > short);
    assert_eq!(store.observe().await.unwrap().record.unwrap().term, held.term);
}

async fn a_claim_extends_the_lease_to_its_full_duration(store: &dyn Store) {
    let lease = acquire(store).await;
    claim(store, &ClaimRequest { duration: LONG, ..request(&lease) }).await;
    let held = held_for(store).await;
    assert!(held <= LONG && held > LONG - DEADLINE, "{held:?}");
}

async fn a_renewal_extends_the_lease_to_its_full_duration(store: &dyn Store) {
    let held = lead(store).await;
    let less = LONG - Duration::from_millis(300);
    eventually(DEADLINE, "time passes", || async { (held_for(store).await < less).then_some(()) })
        .await;
    store.renew(&held, Uuid::new_v4()).await.unwrap();
    assert!(held_for(store).await > less);
}

async fn a_renewal_of_a_lease_that_has_ended_is_lost(store: &dyn Store) {
    let ended = expired_claim(store).await;
    assert_eq!(store.renew(&ended, Uuid::new_v4()).await.unwrap(), Renewal::Lost);
    assert!(store.observe().await.unwrap().held_for.is_none());
}

async fn a_renewal_never_extends_the_lease_of_another(store: &dyn Store) {
    let ended = expired_claim(store).await;
    lead(store).await;
    let before = held_for(store).await;
    assert_eq!(store.renew(&ended, Uuid::new_v4()).await.unwrap(), Renewal::Lost);
    let after = held_for(store).await;
    assert!(after <= before && after > LONG - DEADLINE, "{after:?}");
}

async fn a_release_frees_the_lease_and_says_so_in_the_record(store: &dyn Store) {
    let held = lead(store).await;
    assert!(store.release(&held, ReleaseReason::Asked).await.unwrap());
    let observation = store.observe().await.unwrap();
    assert!(observation.held_for.is_none());
    let record = observation.record.unwrap();
    assert_eq!((record.term, &*record.lease, &*record.alive), (held.term, "", ""));
    assert_eq!(record.replica, REPLICA);
}

async fn a_release_is_announced(store: &dyn Store) {
    let held = lead(store).await;
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    store.release(&held, ReleaseReason::Asked).await.unwrap();
    let announced: Announcement = serde_json::from_slice(&next(&mut announcements).await).unwrap();
    let replica = REPLICA.to_owned();
    assert_eq!(announced, Announcement::Released { term: held.term, replica });
}

async fn a_release_is_harmless_to_the_lease_of_another(store: &dyn Store) {
    let ended = expired_claim(store).await;
    let held = lead(store).await;
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    assert!(!store.release(&ended, ReleaseReason::Asked).await.unwrap());
    assert!(held_for(store).await > LONG - DEADLINE);
    let record = store.observe().await.unwrap().record.unwrap();
    assert_eq!((record.term, record.lease), (held.term, held.lease().to_string()));
    store.release(&held, ReleaseReason::Asked).await.unwrap();
    let first: Announcement = serde_json::from_slice(&next(&mut announcements).await).unwrap();
    assert!(matches!(first, Announcement::Released { term, .. } if term == held.term));
}

async fn a_second_release_changes_and_announces_nothing(store: &dyn Store) {
    let held = lead(store).await;
    store.release(&held, ReleaseReason::Asked).await.unwrap();
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    assert!(!store.release(&held, ReleaseReason::Asked).await.unwrap());
    lead(store).await;
    let first: Announcement = serde_json::from_slice(&next(&mut announcements).await).unwrap();
    assert!(matches!(first, Announcement::Claimed { .. }), "{first:?}");
    let events = store.survey().await.unwrap().timeline.into_iter().map(|entry| entry.event);
    assert_eq!(events.collect::<Vec<_>>(), ["claimed", "released", "claimed"]);
}
