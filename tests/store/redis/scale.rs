use bytes::Bytes;
use pollux::model::{Beat, Body, Publication, Version};
use pollux::store::{Batch, DatedBeat, PollState, RedisStore, Store as _};

use super::connections::impatient_store;
use super::{ask, key};
use crate::common::proxy::Proxy;
use crate::common::redis_server::RedisServer;
use crate::setup::{batch, item, lead, name, next, publish, read, store_on, updates};

#[tokio::test]
async fn a_publication_of_5_mib_goes_through() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    assert_large_publication_goes_through(&store).await;
}

#[tokio::test]
async fn a_publication_of_5_mib_goes_through_a_slow_network() {
    let server = RedisServer::start().await;
    let proxy = Proxy::slow_to(server.port, 4_000_000).await;
    let store = impatient_store(&proxy.url());
    assert_large_publication_goes_through(&store).await;
}

async fn assert_large_publication_goes_through(store: &RedisStore) {
    let claim = lead(store).await;
    let mut updates = updates(store).await;
    let body = format!("\"{}\"", "x".repeat(5 * 1024 * 1024));
    let mut large = batch(&claim, 0, &["a"]);
    large.items[0].publication = Publication::new(
        name("a"),
        Version::new(claim.term, 1),
        claim.now,
        "application/json".to_owned(),
        Body::json(Bytes::from(body)).unwrap(),
    );
    publish(store, &claim, &large).await;
    let sent = &large.items[0].publication;
    assert!(next(&mut updates).await == *sent.json(), "the channel brings it whole");
    assert!(read(store, &["a"]).await.snapshots[0] == *sent, "it is read whole");
}

#[tokio::test]
async fn ten_thousand_endpoints_are_checked_in_one_batch() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let names: Vec<_> = (0..10_000).map(|number| name(&format!("endpoint-{number}"))).collect();
    let state = PollState { hash: "h".to_owned(), ..PollState::default() };
    let beat = Beat { last: Version::new(claim.term, 0), checked: names.clone() };
    let all = Batch {
        checked: names.iter().map(|name| (name.clone(), claim.now)).collect(),
        states: names.iter().map(|name| (name.clone(), state.clone())).collect(),
        beat: Some(DatedBeat { json: beat.json(), until: u64::MAX }),
        ..Batch::default()
    };
    let mut updates = updates(&store).await;
    publish(&store, &claim, &all).await;
    assert_eq!(Some(next(&mut updates).await), all.beat.map(|beat| beat.json));
    for hash in ["checked", "state"] {
        assert_eq!(ask::<usize>(&server, &["HLEN", &key(hash)]).await, names.len(), "{hash}");
    }
    let resumed = store.resume(&names).await.unwrap();
    assert_eq!(resumed.len(), names.len());
    assert!(resumed.iter().all(|one| one.state == state && one.checked_at == Some(claim.now)));
}

#[tokio::test]
async fn ten_thousand_publications_take_effect_in_one_batch() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let items = (1..=10_000).map(|sequence| {
        item(&format!("endpoint-{sequence}"), Version::new(claim.term, sequence), "[]")
    });
    let all = Batch { items: items.collect(), history: 100_000, ..Batch::default() };
    publish(&store, &claim, &all).await;
    let names: Vec<_> = all.items.iter().map(|item| item.publication.endpoint.clone()).collect();
    let reading = store.read(&names).await.unwrap();
    assert_eq!(reading.version, Version::new(claim.term, 10_000));
    let newest = all.items.iter().map(|item| &item.publication);
    assert!(reading.snapshots.iter().eq(newest));
    assert_eq!(ask::<usize>(&server, &["XLEN", &key("history")]).await, names.len());
}
