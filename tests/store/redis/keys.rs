use std::collections::{BTreeMap, BTreeSet};

use pollux::model::{ClusterName, EndpointName, Gone, Version};
use pollux::store::{Batch, Channel, Presence, RedisStore, ReleaseReason, Store as _};
use redis::streams::StreamRangeReply;
use serde_json::Value;

use super::{ask, key};
use crate::common::redis_server::RedisServer;
use crate::setup::{
    ADDRESS, REPLICA, at, batch, beat, lead, name, next, publish, read, request, store_on,
};

/// Does everything that writes.
async fn fill(store: &RedisStore) {
    let claim = lead(store).await;
    let sent = Batch { beat: beat(&claim, 2).beat, ..batch(&claim, 0, &["a", "b.c-D_1"]) };
    publish(store, &claim, &sent).await;
    let presence = Presence { replica: REPLICA.to_owned(), ..Presence::default() };
    store.announce_presence(&presence).await.unwrap();
}

#[tokio::test]
async fn nothing_but_the_documented_keys_is_created() {
    let server = RedisServer::start().await;
    fill(&store_on(&server)).await;
    let mut types = BTreeMap::new();
    for key in ask::<Vec<String>>(&server, &["KEYS", "*"]).await {
        let kind: String = ask(&server, &["TYPE", &key]).await;
        types.insert(key, kind);
    }
    let expected = [
        ("lease", "string"),
        ("leader", "hash"),
        ("snapshot:a", "string"),
        ("snapshot:b.c-D_1", "string"),
        ("checked", "hash"),
        ("state", "hash"),
        ("history", "stream"),
        ("replicas", "hash"),
        ("timeline", "stream"),
    ];
    let expected = expected.map(|(name, kind)| (key(name), kind.to_owned()));
    assert_eq!(types, BTreeMap::from(expected));
}

#[tokio::test]
async fn the_lease_alone_expires() {
    let server = RedisServer::start().await;
    fill(&store_on(&server)).await;
    for found in ask::<Vec<String>>(&server, &["KEYS", "*"]).await {
        let pttl: i64 = ask(&server, &["PTTL", &found]).await;
        assert_eq!(pttl > 0, found == key("lease"), "{found}: {pttl}");
    }
}

#[tokio::test]
async fn the_record_has_the_documented_fields() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    let value: Vec<u8> = ask(&server, &["GET", &key("lease")]).await;
    let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    let info: String = ask(&server, &["INFO", "server"]).await;
    let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap();
    let (term, now) = (claim.term.to_string(), claim.now.to_string());
    let expected = [
        ("term", &*term),
        ("lease", &value),
        ("sequence", "1"),
        ("base", &term),
        ("run_id", run_id),
        ("alive", ""),
        ("replica", REPLICA),
        ("address", ADDRESS),
        ("since", &now),
        ("format", "1"),
    ];
    let expected = expected.map(|(field, value)| (field.to_owned(), value.to_owned()));
    let record: BTreeMap<String, String> = ask(&server, &["HGETALL", &key("leader")]).await;
    assert_eq!(record, BTreeMap::from(expected));
}

#[tokio::test]
async fn a_snapshot_is_the_publication_as_it_was_sent() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(&store, &claim, &sent).await;
    let snapshot: Vec<u8> = ask(&server, &["GET", &key("snapshot:a")]).await;
    assert_eq!(snapshot, sent.items[0].publication.json()[..]);
}

#[tokio::test]
async fn states_and_checks_stand_in_their_hashes() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(&store, &claim, &sent).await;
    let state: String = ask(&server, &["HGET", &key("state"), "a"]).await;
    assert_eq!(state, serde_json::to_string(&sent.items[0].state).unwrap());
    let checked: u64 = ask(&server, &["HGET", &key("checked"), "a"]).await;
    assert_eq!(checked, claim.now);
}

#[tokio::test]
async fn a_presence_stands_as_json_under_the_name_of_the_replica() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let presence = Presence { replica: REPLICA.to_owned(), ..Presence::default() };
    store.announce_presence(&presence).await.unwrap();
    let stored: String = ask(&server, &["HGET", &key("replicas"), REPLICA]).await;
    let stored: Presence = serde_json::from_str(&stored).unwrap();
    assert_eq!(stored, store.survey().await.unwrap().replicas[0]);
}

#[tokio::test]
async fn a_presence_of_an_older_version_is_read_without_its_hosts() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let now = store.survey().await.unwrap().now;
    let json = format!(
        r#"{{"replica":"old","address":"","role":"all","version":"0.0.9","seen_at":{now}}}"#
    );
    let _: u64 = ask(&server, &["HSET", &key("replicas"), "old", &json]).await;
    let presence = Presence { replica: REPLICA.to_owned(), ..Presence::default() };
    let told = store.announce_presence(&presence).await.unwrap();
    assert_eq!((&*told[1].replica, told[1].hosts), ("old", None));
}

#[tokio::test]
async fn a_replica_that_fell_silent_is_ignored_and_then_forgotten() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let long_ago = Presence { replica: "gone".to_owned(), seen_at: 1, ..Presence::default() };
    let json = serde_json::to_string(&long_ago).unwrap();
    let _: u64 = ask(&server, &["HSET", &key("replicas"), "gone", &json, "odd", "?"]).await;
    assert!(store.survey().await.unwrap().replicas.is_empty());
    let presence = Presence { replica: REPLICA.to_owned(), ..Presence::default() };
    let told = store.announce_presence(&presence).await.unwrap();
    assert_eq!(told.len(), 1);
    let left: Vec<String> = ask(&server, &["HKEYS", &key("replicas")]).await;
    assert_eq!(left, [REPLICA]);
}

#[tokio::test]
async fn the_history_holds_publications_under_their_versions() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let sent = batch(&claim, 0, &["a", "b", "a"]);
    publish(&store, &claim, &sent).await;
    let history: StreamRangeReply = ask(&server, &["XRANGE", &key("history"), "-", "+"]).await;
    assert_eq!(history.ids.len(), sent.items.len());
    for (entry, item) in history.ids.iter().zip(&sent.items) {
        assert_eq!(entry.id, item.publication.version.to_string());
        assert_eq!(entry.map.len(), 1);
        let json: Vec<u8> = entry.get("publication").unwrap();
        assert_eq!(json, item.publication.json()[..]);
    }
}

#[tokio::test]
async fn the_history_tells_which_endpoints_went_and_their_snapshots_go_within_a_day() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let gone = vec![Gone { endpoint: name("a"), version: Version::new(claim.term, 2) }];
    publish(&store, &claim, &Batch { gone, ..batch(&claim, 0, &["a"]) }).await;
    let history: StreamRangeReply = ask(&server, &["XRANGE", &key("history"), "-", "+"]).await;
    let last = history.ids.last().unwrap();
    let expected = format!("{{\"gone\":\"a\",\"version\":\"{}-2\"}}", claim.term);
    assert_eq!(last.get("gone"), Some(expected));
    let left: i64 = ask(&server, &["PTTL", &key("snapshot:a")]).await;
    assert!((86_000_000..=86_400_000).contains(&left), "{left}");
    publish(&store, &claim, &batch(&claim, 2, &["a"])).await;
    let left: i64 = ask(&server, &["PTTL", &key("snapshot:a")]).await;
    assert_eq!(left, -1, "an endpoint that is back is kept for good");
}

#[tokio::test]
async fn the_history_is_trimmed() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    for after in 0..300 {
        let one = Batch { history: 10, ..batch(&claim, after, &["a"]) };
        publish(&store, &claim, &one).await;
    }
    // Trimmed by whole nodes of 100 entries.
    let kept: u64 = ask(&server, &["XLEN", &key("history")]).await;
    assert!((10..=200).contains(&kept), "{kept}");
}

#[tokio::test]
async fn the_timeline_is_trimmed() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    for _ in 0..200 {
        let held = lead(&store).await;
        store.release(&held, ReleaseReason::Asked).await.unwrap();
    }
    let kept: u64 = ask(&server, &["XLEN", &key("timeline")]).await;
    assert!((100..=200).contains(&kept), "{kept}");
}

#[tokio::test]
async fn without_a_history_none_is_kept() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    publish(&store, &claim, &Batch { history: 0, ..batch(&claim, 0, &["a"]) }).await;
    let exists: u64 = ask(&server, &["EXISTS", &key("history")]).await;
    assert_eq!(exists, 0);
}

#[tokio::test]
async fn names_with_dots_and_dashes_keep_to_themselves() {
    let server = RedisServer::start().await;
    let config = at(&server.url());
    let endpoints = ["a", "A", "a.b-c_d", "0-0..__", "snapshot"];
    for cluster in ["eu-1.prices_x", "eu-1.prices", "0"] {
        let store = RedisStore::new(&ClusterName::new(cluster).unwrap(), &config);
        let claim = lead(&store).await;
        assert_eq!(read(&store, &endpoints).await.snapshots.len(), 0, "{cluster}");
        publish(&store, &claim, &batch(&claim, 0, &endpoints)).await;
        let reading = read(&store, &endpoints).await;
        let names: Vec<&EndpointName> = reading.snapshots.iter().map(|one| &one.endpoint).collect();
        assert!(names.iter().copied().eq(&endpoints.map(name)), "{cluster}: {names:?}");
    }
    let keys: BTreeSet<String> = ask(&server, &["KEYS", "{pollux:eu-1.prices}:*"]).await;
    assert!(keys.contains("{pollux:eu-1.prices}:snapshot:a.b-c_d"), "{keys:?}");
}

#[tokio::test]
async fn a_lease_that_somebody_set_by_hand_is_held_until_they_remove_it() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let _: String = ask(&server, &["SET", &key("lease"), "by hand"]).await;
    assert!(store.observe().await.unwrap().held_for.is_some());
    assert!(store.acquire().await.is_none());
    let _: u64 = ask(&server, &["DEL", &key("lease")]).await;
    lead(&store).await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_hides_no_other() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a", "b"])).await;
    let _: String = ask(&server, &["SET", &key("snapshot:a"), "{"]).await;
    let _: u64 = ask(&server, &["HSET", &key("state"), "a", "{"]).await;
    let reading = read(&store, &["a", "b"]).await;
    assert_eq!(reading.snapshots.len(), 1);
    let resumed = store.resume(&["a", "b"].map(name)).await.unwrap();
    assert_eq!(resumed.len(), 1);
    assert_eq!(resumed[0].endpoint, name("b"));
}

#[tokio::test]
async fn announcements_are_json_that_names_what_they_announce() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let mut heard = store.subscribe(Channel::Leadership).await.unwrap();
    let lease = store.acquire().await.unwrap();
    let claim = store.claim(&request(&lease)).await.unwrap().unwrap();
    let announced: Value = serde_json::from_slice(&next(&mut heard).await).unwrap();
    let expected =
        serde_json::json!({ "announce": "claimed", "term": claim.term, "replica": REPLICA });
    assert_eq!(announced, expected);
}
