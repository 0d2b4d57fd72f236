use std::time::Duration;

use pollux::store::{Channel, EmbeddedStore, Presence, Store as _};
use tokio::time::{advance, timeout};

use crate::setup::{DEADLINE, beat, lead, publish, updates};

#[tokio::test(start_paused = true)]
async fn a_replica_that_fell_silent_is_gone_after_half_a_minute() {
    let store = EmbeddedStore::new();
    let presence = Presence { replica: "castor".to_owned(), ..Presence::default() };
    store.announce_presence(&presence).await.unwrap();
    advance(Duration::from_secs(30)).await;
    assert_eq!(store.survey().await.unwrap().replicas.len(), 1);
    advance(Duration::from_millis(1)).await;
    assert!(store.survey().await.unwrap().replicas.is_empty());
}

#[tokio::test]
async fn clones_share_one_store() {
    let store = EmbeddedStore::new();
    lead(&store.clone()).await;
    assert!(store.acquire().await.is_none());
}

#[tokio::test]
async fn a_subscription_that_lags_behind_ends() {
    let store = EmbeddedStore::new();
    let claim = lead(&store).await;
    let mut updates = updates(&store).await;
    for _ in 0..2000 {
        publish(&store, &claim, &beat(&claim, 0)).await;
    }
    let ending = async { while updates.next().await.is_some() {} };
    timeout(DEADLINE, ending).await.expect("the subscription ends");
}

#[tokio::test]
async fn subscriptions_end_when_the_store_goes_away() {
    for channel in [Channel::Updates, Channel::Leadership] {
        let store = EmbeddedStore::new();
        let mut messages = store.subscribe(channel).await.unwrap();
        drop(store);
        let message = timeout(DEADLINE, messages.next()).await.expect("the subscription ends");
        assert!(message.is_none());
    }
}
