use std::time::Duration;

use pollux::config::RedisConfig;
use pollux::store::{Channel, FailureKind, RedisStore, ReleaseReason, Store as _};
use tokio::time::timeout;
use uuid::Uuid;

use super::ask;
use crate::common::proxy::Proxy;
use crate::common::redis_server::RedisServer;
use crate::setup::{
    DEADLINE, answered, at, batch, lead, name, next, publish, store_on, store_with, updates,
};

/// A store that soon gives up waiting.
pub(super) fn impatient_store(url: &str) -> RedisStore {
    store_with(RedisConfig { timeout: Duration::from_millis(500), ..at(url) })
}

#[tokio::test]
async fn a_swallowed_renewal_times_out_and_the_next_goes_through() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to(server.port).await;
    let store = impatient_store(&proxy.url());
    let claim = lead(&store).await;
    proxy.freeze_open_connections();
    let failure = store.renew(&claim, Uuid::new_v4()).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("no answer within 500ms"), "{failure}");
    answered("a renewal goes through", || store.renew(&claim, Uuid::new_v4())).await;
}

#[tokio::test]
async fn a_swallowed_publication_times_out_and_the_next_try_goes_through() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to(server.port).await;
    let store = impatient_store(&proxy.url());
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    proxy.freeze_open_connections();
    let second = batch(&claim, 1, &["a"]);
    let failure = store.publish(&claim, &second).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    answered("the publication goes through", || store.publish(&claim, &second)).await;
}

#[tokio::test]
async fn a_swallowed_read_times_out_and_the_next_goes_through() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to(server.port).await;
    let store = impatient_store(&proxy.url());
    let endpoints = [name("a")];
    store.read(&endpoints).await.unwrap();
    proxy.freeze_open_connections();
    let failure = store.read(&endpoints).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    answered("a read goes through", || store.read(&endpoints)).await;
}

#[tokio::test]
async fn an_acquisition_does_not_depend_on_frozen_connections() {
    let server = RedisServer::start().await;
    let proxy = Proxy::to(server.port).await;
    let store = impatient_store(&proxy.url());
    let claim = lead(&store).await;
    store.release(&claim, ReleaseReason::Asked).await.unwrap();
    proxy.freeze_open_connections();
    assert!(store.acquire().await.is_some());
}

#[tokio::test]
async fn connections_cut_by_the_server_are_opened_again() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    let _: u64 = ask(&server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
    answered("a renewal", || store.renew(&claim, Uuid::new_v4())).await;
    let second = batch(&claim, 1, &["a"]);
    answered("a publication", || store.publish(&claim, &second)).await;
}

#[tokio::test]
async fn a_cut_subscription_ends() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let mut updates = updates(&store).await;
    let killed: u64 = ask(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(killed, 1);
    assert!(timeout(DEADLINE, updates.next()).await.expect("it ends").is_none());
}

#[tokio::test]
async fn subscriptions_end_when_the_server_goes_away() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let mut open = Vec::new();
    for channel in [Channel::Updates, Channel::Leadership, Channel::Alive(Uuid::new_v4())] {
        open.push(store.subscribe(channel).await.unwrap());
    }
    server.kill().await;
    for subscription in &mut open {
        assert!(timeout(DEADLINE, subscription.next()).await.expect("it ends").is_none());
    }
    server.restart().await;
    let mut updates = updates(&store).await;
    let claim = lead_again(&store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(&store, &claim, &sent).await;
    assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
}

async fn lead_again(store: &RedisStore) -> pollux::store::Claim {
    answered("the store answers", || store.observe()).await;
    lead(store).await
}

/// Where names do not resolve meanwhile, say, there is no other connection to be had.
#[tokio::test]
async fn a_full_server_costs_no_connection() {
    let server = RedisServer::start().await;
    let path = Proxy::to(server.port).await;
    let store = impatient_store(&path.url());
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    let connections = path.ports();
    let _: String = ask(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let second = batch(&claim, 1, &["a"]);
    assert_eq!(store.publish(&claim, &second).await.unwrap_err().kind, FailureKind::Oom);
    let _: String = ask(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    publish(&store, &claim, &second).await;
    assert_eq!(path.ports(), connections);
}
