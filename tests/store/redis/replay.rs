//! What a leader that was frozen still sends, byte for byte, once another has claimed.

use pollux::model::Version;
use pollux::store::{Claim, Published, Store as _};
use redis::Value;

use super::{ask, contents, key};
use crate::common::redis_server::RedisServer;
use crate::setup::{
    batch, beat, expired_claim, lead, next, publication, publish, store_on, updates,
};

const PUBLISH: &str = include_str!("../../../src/store/redis/script/publish.lua");

/// Sends the publish script as `claim` would for one publication of `a` after `sequence`.
async fn replay(server: &RedisServer, claim: &Claim, term: u64, sequence: u64) -> Value {
    let version = Version::new(term, sequence + 1);
    let publication = publication("a", version, "\"late\"");
    let beat = beat(claim, sequence + 1).beat.unwrap();
    let mut command = redis::cmd("EVAL");
    command.arg(PUBLISH).arg(5);
    for name in ["leader", "history", "checked", "state", "snapshot:a"] {
        command.arg(key(name));
    }
    command.arg(term).arg(claim.lease().to_string()).arg(sequence).arg(sequence + 1);
    command.arg(1000).arg(key("updates")).arg(&*beat.json).arg(beat.until);
    command.arg(86_400_000).arg(&[1, 1, 0, 0]);
    command.arg("a").arg(&publication.json()[..]).arg("{}").arg("a").arg(1);
    command.query_async(&mut server.connection().await).await.unwrap()
}

#[tokio::test]
async fn a_replayed_publication_of_the_leader_itself_takes_effect() {
    let server = RedisServer::start().await;
    let claim = lead(&store_on(&server)).await;
    assert_eq!(replay(&server, &claim, claim.term, 0).await, Value::Nil);
}

#[tokio::test]
async fn a_publication_of_a_deposed_leader_leaves_every_key_untouched() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let deposed = expired_claim(&store).await;
    publish(&store, &deposed, &batch(&deposed, 0, &["a"])).await;
    let successor = lead(&store).await;
    publish(&store, &successor, &batch(&successor, 0, &["a"])).await;
    let mut updates = updates(&store).await;
    let before = contents(&server).await;
    // With the sequence it had, with the one in the record, and with one beyond.
    for sequence in [0, 1, 2] {
        let refused = replay(&server, &deposed, deposed.term, sequence).await;
        assert!(matches!(refused, Value::Array(_)), "{refused:?}");
        assert_eq!(contents(&server).await, before);
    }
    let last = beat(&successor, 1);
    publish(&store, &successor, &last).await;
    assert_eq!(Some(next(&mut updates).await), last.beat.map(|beat| beat.json));
}

#[tokio::test]
async fn the_term_alone_does_not_make_a_leader() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let deposed = expired_claim(&store).await;
    let successor = lead(&store).await;
    let before = contents(&server).await;
    let refused = replay(&server, &deposed, successor.term, 0).await;
    assert!(matches!(refused, Value::Array(_)), "{refused:?}");
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn the_lease_alone_does_not_make_a_leader() {
    let server = RedisServer::start().await;
    let claim = lead(&store_on(&server)).await;
    let before = contents(&server).await;
    let refused = replay(&server, &claim, claim.term - 1, 0).await;
    assert!(matches!(refused, Value::Array(_)), "{refused:?}");
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn a_publication_into_an_emptied_store_is_refused() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let _: String = ask(&server, &["FLUSHALL"]).await;
    let answer = store.publish(&claim, &batch(&claim, 0, &["a"])).await.unwrap();
    assert_eq!(answer, Published::Fenced(None));
    assert_eq!(contents(&server).await, []);
}

#[tokio::test]
async fn a_batch_that_the_history_knows_already_changes_nothing() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    // As a rollback of the record alone would leave it.
    let _: u64 = ask(&server, &["HSET", &key("leader"), "sequence", "0"]).await;
    let before = contents(&server).await;
    store.publish(&claim, &batch(&claim, 0, &["b"])).await.unwrap_err();
    assert_eq!(contents(&server).await, before);
}
