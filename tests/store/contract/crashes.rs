use pollux::model::{Announcement, Record};
use pollux::store::{
    Cause, Channel, Claim, ClaimRequest, Pulse, ReleaseReason, Store, Subscription,
};
use uuid::Uuid;

use crate::common::eventually;
use crate::setup::{
    DEADLINE, REPLICA, acquire, batch, claim, expired_claim, held_for, lead, next, on_every_store,
    publish, request,
};

on_every_store!(
    a_leader_that_subscribes_to_its_channel_has_a_pulse,
    a_leader_that_has_left_its_channel_has_none,
    nothing_is_known_of_a_leader_without_a_channel,
    nothing_is_known_of_who_has_acquired_and_not_claimed,
    a_renewal_sends_a_pulse,
    a_channel_that_is_back_is_announced,
    a_dead_leader_loses_its_lease_and_everybody_is_told,
    a_living_leader_is_not_reaped,
    a_leader_that_got_further_is_not_reaped,
    a_lease_that_was_acquired_by_another_is_not_reaped,
    a_lease_is_reaped_once,
    a_claim_after_a_crash_says_so,
    a_request_to_step_down_is_announced,
);

/// Leads with a liveness channel.
async fn lead_alive(store: &dyn Store) -> (Claim, Subscription) {
    let alive = Uuid::new_v4();
    let open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let lease = acquire(store).await;
    (claim(store, &ClaimRequest { alive, ..request(&lease) }).await, open)
}

/// Leads, and dies; the record that it leaves.
async fn lead_and_die(store: &dyn Store) -> (Claim, Record) {
    let (claim, open) = lead_alive(store).await;
    drop(open);
    let record = eventually(DEADLINE, "nobody hears the leader", || async {
        let observation = store.observe().await.unwrap();
        (observation.pulse == Pulse::None).then_some(observation.record).flatten()
    })
    .await;
    (claim, record)
}

async fn pulse(store: &dyn Store) -> Pulse {
    store.observe().await.unwrap().pulse
}

async fn announced(announcements: &mut Subscription) -> Announcement {
    serde_json::from_slice(&next(announcements).await).unwrap()
}

async fn a_leader_that_subscribes_to_its_channel_has_a_pulse(store: &dyn Store) {
    let (_claim, _open) = lead_alive(store).await;
    assert_eq!(pulse(store).await, Pulse::Felt);
}

async fn a_leader_that_has_left_its_channel_has_none(store: &dyn Store) {
    let (claim, _) = lead_and_die(store).await;
    assert!(held_for(store).await > DEADLINE);
    store.release(&claim, ReleaseReason::Asked).await.unwrap();
    assert_eq!(pulse(store).await, Pulse::Unknown);
}

async fn nothing_is_known_of_a_leader_without_a_channel(store: &dyn Store) {
    lead(store).await;
    assert_eq!(pulse(store).await, Pulse::Unknown);
}

async fn nothing_is_known_of_who_has_acquired_and_not_claimed(store: &dyn Store) {
    let (_, dead) = lead_and_die(store).await;
    store.reap(&dead).await.unwrap();
    acquire(store).await;
    assert_eq!(pulse(store).await, Pulse::Unknown);
}

async fn a_renewal_sends_a_pulse(store: &dyn Store) {
    let alive = Uuid::new_v4();
    let mut open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let claim = lead(store).await;
    store.renew(&claim, alive).await.unwrap();
    next(&mut open).await;
}

async fn a_channel_that_is_back_is_announced(store: &dyn Store) {
    let claim = lead(store).await;
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    let alive = Uuid::new_v4();
    let _open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    store.renew(&claim, alive).await.unwrap();
    let (term, replica) = (claim.term, REPLICA.to_owned());
    assert_eq!(announced(&mut announcements).await, Announcement::Alive { term, replica });
    assert_eq!(pulse(store).await, Pulse::Felt);
}

async fn a_dead_leader_loses_its_lease_and_everybody_is_told(store: &dyn Store) {
    let (claim, dead) = lead_and_die(store).await;
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    assert!(store.reap(&dead).await.unwrap());
    assert!(store.observe().await.unwrap().held_for.is_none());
    let (term, replica) = (claim.term, REPLICA.to_owned());
    assert_eq!(announced(&mut announcements).await, Announcement::Reaped { term, replica });
}

async fn a_living_leader_is_not_reaped(store: &dyn Store) {
    let (_claim, _open) = lead_alive(store).await;
    let record = store.observe().await.unwrap().record.unwrap();
    assert!(!store.reap(&record).await.unwrap());
    assert!(held_for(store).await > DEADLINE);
}

async fn a_leader_that_got_further_is_not_reaped(store: &dyn Store) {
    let (claim, before) = lead_and_die(store).await;
    publish(store, &claim, &batch(&claim, 0, &["a"])).await;
    assert!(!store.reap(&before).await.unwrap());
    assert!(held_for(store).await > DEADLINE);
}

async fn a_lease_that_was_acquired_by_another_is_not_reaped(store: &dyn Store) {
    let ended = expired_claim(store).await;
    let record = store.observe().await.unwrap().record.unwrap();
    assert_eq!(record.term, ended.term);
    acquire(store).await;
    let suspect = Record { alive: "nobody".to_owned(), ..record };
    assert!(!store.reap(&suspect).await.unwrap());
    assert!(store.observe().await.unwrap().held_for.is_some());
}

async fn a_lease_is_reaped_once(store: &dyn Store) {
    let (_, dead) = lead_and_die(store).await;
    assert!(store.reap(&dead).await.unwrap());
    assert!(!store.reap(&dead).await.unwrap());
}

async fn a_claim_after_a_crash_says_so(store: &dyn Store) {
    let (_, dead) = lead_and_die(store).await;
    store.reap(&dead).await.unwrap();
    let successor = lead(store).await;
    assert_eq!(successor.cause, Cause::Crashed);
    let timeline = store.survey().await.unwrap().timeline;
    let told: Vec<_> = timeline.iter().map(|entry| (&*entry.event, entry.term)).collect();
    assert_eq!(told[..2], [("claimed", successor.term), ("reaped", dead.term)]);
    assert_eq!(timeline[0].cause, "crashed");
    assert_eq!(timeline[1].replica, REPLICA);
}

async fn a_request_to_step_down_is_announced(store: &dyn Store) {
    let mut announcements = store.subscribe(Channel::Leadership).await.unwrap();
    for abdicates in [false, true] {
        let request = Announcement::StepDown { term: 4711, abdicates };
        store.announce(&request).await.unwrap();
        assert_eq!(announced(&mut announcements).await, request);
    }
}
