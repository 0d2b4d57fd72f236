use std::time::Duration;

use pollux::store::{ClaimRequest, Hosts, Presence, ReleaseReason, Store};

use crate::setup::{
    REPLICA, acquire, claim, expired_claim, held_for, lead, on_every_store, request,
};

on_every_store!(
    an_announced_replica_is_there,
    who_announces_itself_is_told_of_all_others,
    a_replica_is_there_once_however_often_it_says_so,
    a_withdrawn_replica_is_gone,
    a_survey_of_an_empty_store_finds_nothing,
    a_survey_tells_who_leads,
    the_timeline_tells_what_happened_the_newest_first,
    the_timeline_is_bounded,
);

fn presence(replica: &str) -> Presence {
    Presence {
        replica: replica.to_owned(),
        address: "http://[::1]:9090".to_owned(),
        role: "all".to_owned(),
        version: "1.2.3".to_owned(),
        hosts: Some(Hosts { reachable: 2, checked: 3 }),
        started_at: 1_795_209_600_123,
        reads: 7,
        deliveries: 8,
        polls: 9,
        config_refused: true,
        seen_at: 0,
    }
}

async fn an_announced_replica_is_there(store: &dyn Store) {
    let before = store.survey().await.unwrap().now;
    for replica in ["pollux", "castor \"the rider\""] {
        store.announce_presence(&presence(replica)).await.unwrap();
    }
    let survey = store.survey().await.unwrap();
    let names: Vec<&str> = survey.replicas.iter().map(|replica| &*replica.replica).collect();
    assert_eq!(names, ["castor \"the rider\"", "pollux"]);
    for found in survey.replicas {
        assert!((before..=survey.now).contains(&found.seen_at), "{found:?}");
        assert_eq!(Presence { seen_at: 0, ..found.clone() }, presence(&found.replica));
    }
}

async fn who_announces_itself_is_told_of_all_others(store: &dyn Store) {
    let mut told = Vec::new();
    for replica in ["pollux", "castor", "pollux"] {
        told = store.announce_presence(&presence(replica)).await.unwrap();
    }
    assert_eq!(told, store.survey().await.unwrap().replicas);
    assert_eq!(told.len(), 2);
}

async fn a_replica_is_there_once_however_often_it_says_so(store: &dyn Store) {
    store.announce_presence(&presence(REPLICA)).await.unwrap();
    let moved = Presence { address: "elsewhere".to_owned(), ..presence(REPLICA) };
    store.announce_presence(&moved).await.unwrap();
    let replicas = store.survey().await.unwrap().replicas;
    assert_eq!(replicas.len(), 1);
    assert_eq!(replicas[0].address, "elsewhere");
}

async fn a_withdrawn_replica_is_gone(store: &dyn Store) {
    store.announce_presence(&presence("castor")).await.unwrap();
    store.announce_presence(&presence("pollux")).await.unwrap();
    store.withdraw_presence("castor").await.unwrap();
    store.withdraw_presence("never there").await.unwrap();
    let replicas = store.survey().await.unwrap().replicas;
    assert_eq!(replicas.len(), 1);
    assert_eq!(replicas[0].replica, "pollux");
}

async fn a_survey_of_an_empty_store_finds_nothing(store: &dyn Store) {
    let survey = store.survey().await.unwrap();
    assert!(survey.observation.record.is_none() && survey.observation.held_for.is_none());
    assert!(survey.replicas.is_empty() && survey.timeline.is_empty());
}

async fn a_survey_tells_who_leads(store: &dyn Store) {
    let held = lead(store).await;
    let survey = store.survey().await.unwrap();
    assert_eq!(survey.observation.record, store.observe().await.unwrap().record);
    assert!(survey.observation.held_for.unwrap() >= held_for(store).await);
    assert_eq!(survey.observation.run_id, held.run_id);
}

async fn the_timeline_tells_what_happened_the_newest_first(store: &dyn Store) {
    let first = expired_claim(store).await;
    let lease = acquire(store).await;
    let gap = Duration::from_millis(1234);
    let taken_over = ClaimRequest { gap, replica: "pollux".to_owned(), ..request(&lease) };
    let second = claim(store, &taken_over).await;
    store.release(&second, ReleaseReason::Abdicated).await.unwrap();

    let timeline = store.survey().await.unwrap().timeline;
    let told: Vec<_> = timeline
        .iter()
        .map(|entry| (&*entry.event, &*entry.replica, entry.term, &*entry.cause, entry.gap))
        .collect();
    let expected = [
        ("released", "pollux", second.term, "abdicated", 0),
        ("claimed", "pollux", second.term, "expired", 1234),
        ("claimed", REPLICA, first.term, "first", 0),
    ];
    assert_eq!(told, expected);
    assert!(timeline.is_sorted_by(|newer, older| newer.at >= older.at));
}

async fn the_timeline_is_bounded(store: &dyn Store) {
    for _ in 0..60 {
        let held = lead(store).await;
        store.release(&held, ReleaseReason::Asked).await.unwrap();
    }
    let timeline = store.survey().await.unwrap().timeline;
    assert_eq!(timeline.len(), 100);
    assert_eq!(timeline[0].event, "released");
}
