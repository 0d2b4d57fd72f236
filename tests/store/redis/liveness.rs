//! The record's `alive` field: others judge by it whether the leader is still there.

use pollux::model::Record;
use pollux::store::{
    Channel, Claim, ClaimRequest, Pulse, RedisStore, ReleaseReason, Renewal, Store as _,
};
use uuid::Uuid;

use super::{ask, key};
use crate::common::eventually;
use crate::common::redis_server::RedisServer;
use crate::setup::{DEADLINE, acquire, claim, lead, request, store_on};

async fn alive_in_record(server: &RedisServer) -> String {
    ask(server, &["HGET", &key("leader"), "alive"]).await
}

async fn renew(store: &RedisStore, claim: &Claim, alive: Uuid) {
    let renewal = store.renew(claim, alive).await.unwrap();
    assert!(matches!(renewal, Renewal::Held { .. }), "{renewal:?}");
}

#[tokio::test]
async fn a_claim_notes_the_liveness_channel_that_is_subscribed_to() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let alive = Uuid::new_v4();
    let _open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let lease = acquire(&store).await;
    claim(&store, &ClaimRequest { alive, ..request(&lease) }).await;
    assert_eq!(alive_in_record(&server).await, key(&format!("alive:{alive}")));
}

#[tokio::test]
async fn a_claim_without_a_liveness_channel_notes_none() {
    let server = RedisServer::start().await;
    lead(&store_on(&server)).await;
    assert_eq!(alive_in_record(&server).await, "");
}

#[tokio::test]
async fn renewals_follow_the_liveness_channel() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let (held, alive) = (lead(&store).await, Uuid::new_v4());
    let open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    renew(&store, &held, alive).await;
    assert_eq!(alive_in_record(&server).await, key(&format!("alive:{alive}")));
    drop(open);
    eventually(DEADLINE, "a renewal clears the lost channel", || async {
        renew(&store, &held, alive).await;
        alive_in_record(&server).await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_renewal_leaves_the_record_of_another_alone() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let (held, alive) = (lead(&store).await, Uuid::new_v4());
    let _open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let term = (held.term + 1).to_string();
    let _: u64 = ask(&server, &["HSET", &key("leader"), "term", &term]).await;
    renew(&store, &held, alive).await;
    assert_eq!(alive_in_record(&server).await, "");
}

#[tokio::test]
async fn a_release_takes_the_liveness_channel_out_of_the_record() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let (held, alive) = (lead(&store).await, Uuid::new_v4());
    let _open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    renew(&store, &held, alive).await;
    store.release(&held, ReleaseReason::Asked).await.unwrap();
    assert_eq!(alive_in_record(&server).await, "");
}

/// What a leader leaves that has died, on this server.
async fn dead(store: &RedisStore) -> Record {
    let alive = Uuid::new_v4();
    let open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let lease = acquire(store).await;
    claim(store, &ClaimRequest { alive, ..request(&lease) }).await;
    drop(open);
    eventually(DEADLINE, "nobody hears the leader", || async {
        let observation = store.observe().await.unwrap();
        (observation.pulse == Pulse::None).then_some(observation.record).flatten()
    })
    .await
}

#[tokio::test]
async fn a_leader_that_claimed_on_another_server_is_not_judged() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let record = dead(&store).await;
    let _: u64 = ask(&server, &["HSET", &key("leader"), "run_id", "another"]).await;
    assert_eq!(store.observe().await.unwrap().pulse, Pulse::Unknown);
    let elsewhere = Record { run_id: "another".to_owned(), ..record };
    assert!(!store.reap(&elsewhere).await.unwrap());
    assert!(store.observe().await.unwrap().held_for.is_some());
}

#[tokio::test]
async fn a_server_that_cannot_count_tells_nothing() {
    let server = RedisServer::with_options(&["--rename-command", "PUBSUB", ""]).await;
    let store = store_on(&server);
    let held = lead(&store).await;
    let alive = Uuid::new_v4();
    let _open = store.subscribe(Channel::Alive(alive)).await.unwrap();
    renew(&store, &held, alive).await;
    assert_eq!(alive_in_record(&server).await, "");
    assert_eq!(store.observe().await.unwrap().pulse, Pulse::Unknown);
}
