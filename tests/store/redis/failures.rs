//! What a person would do about a failure depends on its kind. Each ends by itself, without a
//! restart of Pollux, once its cause is gone.

use std::time::Duration;

use pollux::config::{RedisConfig, Secret};
use pollux::store::{
    Channel, FailureKind, RedisStore, ReleaseReason, Renewal, Store as _, StoreError,
};
use redis::AsyncCommands as _;
use uuid::Uuid;

use super::{ask, contents};
use crate::common::redis_server::RedisServer;
use crate::common::{eventually, free_port};
use crate::setup::{
    DEADLINE, acquire, answered, at, batch, beat, claim, lead, next, publish, request, store_on,
    store_with, updates,
};

/// A store that logs in, and soon gives up waiting.
fn store_as(server: &RedisServer, username: Option<&str>, password: &str) -> RedisStore {
    store_with(RedisConfig {
        username: username.map(str::to_owned),
        password: Some(Secret::new(password.to_owned())),
        ..at(&server.url())
    })
}

fn impatient_store_on(server: &RedisServer) -> RedisStore {
    store_with(RedisConfig { timeout: Duration::from_millis(200), ..at(&server.url()) })
}

pub(super) fn assert_kind<T: std::fmt::Debug>(answer: Result<T, StoreError>, kind: FailureKind) {
    let failure = answer.expect_err("the request fails");
    assert_eq!(failure.kind, kind, "{failure}");
}

async fn recovers(store: &RedisStore) {
    answered("the store answers again", || store.observe()).await;
    lead(store).await;
}

async fn set(server: &RedisServer, setting: &str, value: &str) {
    let _: String = ask(server, &["CONFIG", "SET", setting, value]).await;
}

#[tokio::test]
async fn a_wrong_password() {
    let server = RedisServer::start().await;
    let mut operator = server.connection().await;
    set(&server, "requirepass", "right").await;
    let store = store_as(&server, None, "wrong");
    assert_kind(store.observe().await, FailureKind::Auth);
    assert_kind(store.survey().await, FailureKind::Auth);
    assert!(store.acquire().await.is_none());
    let change: redis::RedisResult<String> =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", "wrong"]).query_async(&mut operator).await;
    change.expect("the connection from before the password may go on");
    recovers(&store).await;
}

#[tokio::test]
async fn a_missing_password() {
    let server = RedisServer::start().await;
    let mut operator = server.connection().await;
    set(&server, "requirepass", "right").await;
    let store = store_on(&server);
    assert_kind(store.observe().await, FailureKind::Auth);
    let change: redis::RedisResult<String> =
        redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).query_async(&mut operator).await;
    change.expect("the connection from before the password may go on");
    recovers(&store).await;
}

#[tokio::test]
async fn a_user_without_a_command() {
    let server = RedisServer::start().await;
    let all = ["ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all"];
    let _: String = ask(&server, &[&all[..], &["-evalsha", "-hget"]].concat()).await;
    let store = store_as(&server, Some("limited"), "pw");
    assert_kind(store.observe().await, FailureKind::NoPerm);
    let _: String = ask(&server, &all).await;
    recovers(&store).await;
}

#[tokio::test]
async fn a_user_without_a_command_that_a_script_needs() {
    let server = RedisServer::start().await;
    let all = ["ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all"];
    let _: String = ask(&server, &[&all[..], &["-pexpire"]].concat()).await;
    let store = store_as(&server, Some("limited"), "pw");
    let lease = acquire(&store).await;
    assert_kind(store.claim(&request(&lease)).await, FailureKind::NoPerm);
    let _: String = ask(&server, &all).await;
    let again = request(&lease);
    answered("the store answers again", || store.claim(&again)).await;
}

#[tokio::test]
async fn a_user_without_the_keys() {
    let server = RedisServer::start().await;
    let user = ["ACL", "SETUSER", "limited", "on", ">pw", "&*", "+@all"];
    let _: String = ask(&server, &[&user[..], &["~{pollux:other}:*"]].concat()).await;
    let store = store_as(&server, Some("limited"), "pw");
    assert_kind(store.observe().await, FailureKind::NoPerm);
    let _: String = ask(&server, &[&user[..], &["~{pollux:test}:*"]].concat()).await;
    recovers(&store).await;
}

#[tokio::test]
async fn a_user_without_the_channels() {
    let server = RedisServer::start().await;
    let user = ["ACL", "SETUSER", "limited", "on", ">pw", "~*", "+@all", "resetchannels"];
    let _: String = ask(&server, &user).await;
    let store = store_as(&server, Some("limited"), "pw");
    assert_kind(store.subscribe(Channel::Updates).await.map(drop), FailureKind::NoPerm);
    let _: String = ask(&server, &[&user[..], &["&{pollux:test}:*"]].concat()).await;
    updates(&store).await;
}

#[tokio::test]
async fn a_user_that_may_not_read_the_run_id_still_leads() {
    let server = RedisServer::start().await;
    let user = ["ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-info"];
    let _: String = ask(&server, &user).await;
    let store = store_as(&server, Some("limited"), "pw");
    let claim = lead(&store).await;
    assert_eq!(claim.run_id, "");
    publish(&store, &claim, &batch(&claim, 0, &["a"])).await;
    let renewal = store.renew(&claim, Uuid::new_v4()).await.unwrap();
    assert!(matches!(renewal, Renewal::Held { .. }));
}

#[tokio::test]
async fn a_server_that_became_a_replica() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let held = lead(&store).await;
    publish(&store, &held, &batch(&held, 0, &["a"])).await;
    let before = contents(&server).await;
    let nowhere = free_port().to_string();
    let _: String = ask(&server, &["REPLICAOF", "127.0.0.1", &nowhere]).await;
    assert_kind(store.renew(&held, Uuid::new_v4()).await, FailureKind::ReadOnly);
    assert_kind(store.claim(&request(held.lease())).await, FailureKind::ReadOnly);
    assert_kind(store.publish(&held, &batch(&held, 1, &["a"])).await, FailureKind::ReadOnly);
    assert_kind(store.release(&held, ReleaseReason::Asked).await, FailureKind::ReadOnly);
    assert_eq!(contents(&server).await, before);
    let _: String = ask(&server, &["REPLICAOF", "NO", "ONE"]).await;
    publish(&store, &held, &batch(&held, 1, &["a"])).await;
}

#[tokio::test]
async fn a_free_lease_that_cannot_be_taken_is_said() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    store.observe().await.unwrap();
    let nowhere = free_port().to_string();
    let _: String = ask(&server, &["REPLICAOF", "127.0.0.1", &nowhere]).await;
    assert!(store.acquire().await.is_none());
    assert_kind(store.observe().await, FailureKind::ReadOnly);
    let _: String = ask(&server, &["REPLICAOF", "NO", "ONE"]).await;
    set(&server, "maxmemory", "1").await;
    assert!(store.acquire().await.is_none());
    assert_kind(store.observe().await, FailureKind::Oom);
    set(&server, "maxmemory", "0").await;
    recovers(&store).await;
}

#[tokio::test]
async fn looking_at_a_free_lease_writes_nothing() {
    let server = RedisServer::start().await;
    store_on(&server).observe().await.unwrap();
    assert_eq!(contents(&server).await, []);
    let info: String = ask(&server, &["INFO", "persistence"]).await;
    assert!(info.contains("rdb_changes_since_last_save:0"), "{info}");
}

#[tokio::test]
async fn a_server_that_reads_its_data() {
    let server = RedisServer::with_options(&["--enable-debug-command", "yes"]).await;
    let store = store_on(&server);
    store.observe().await.unwrap();
    let mut operator = server.connection().await;
    // Slow to read, and between two keys it answers others.
    set(&server, "key-load-delay", "500").await;
    set(&server, "loading-process-events-interval-bytes", "1024").await;
    let _: String = ask(&server, &["DEBUG", "POPULATE", "4000"]).await;
    let reloading = tokio::spawn(async move {
        redis::cmd("DEBUG").arg("RELOAD").query_async::<String>(&mut operator).await
    });
    eventually(DEADLINE, "the server is seen to read its data", || async {
        let kind = store.observe().await.err().map(|failure| failure.kind);
        (kind == Some(FailureKind::Loading)).then_some(())
    })
    .await;
    recovers(&store).await;
    reloading.abort();
}

#[tokio::test]
async fn a_server_that_runs_a_script_for_long() {
    let server = RedisServer::start().await;
    let store = impatient_store_on(&server);
    store.observe().await.unwrap();
    set(&server, "busy-reply-threshold", "1").await;
    let mut operator = server.connection().await;
    let script = tokio::spawn(async move {
        redis::cmd("EVAL")
            .arg("while true do end")
            .arg(0)
            .query_async::<redis::Value>(&mut operator)
            .await
    });
    eventually(DEADLINE, "the server is seen to be busy", || async {
        let kind = store.observe().await.err().map(|failure| failure.kind);
        (kind == Some(FailureKind::Busy)).then_some(())
    })
    .await;
    let _: String = ask(&server, &["SCRIPT", "KILL"]).await;
    script.await.unwrap().expect_err("the script was killed");
    recovers(&store).await;
}

#[tokio::test]
async fn a_full_server_keeps_the_leader_and_takes_no_publication() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let held = lead(&store).await;
    publish(&store, &held, &batch(&held, 0, &["a"])).await;
    set(&server, "maxmemory", "1").await;
    let before = contents(&server).await;

    let renewal = store.renew(&held, Uuid::new_v4()).await.unwrap();
    assert!(matches!(renewal, Renewal::Held { .. }));
    assert_eq!(claim(&store, &request(held.lease())).await.term, held.term);
    assert_kind(store.publish(&held, &batch(&held, 1, &["b"])).await, FailureKind::Oom);
    assert_kind(store.publish(&held, &beat(&held, 1)).await, FailureKind::Oom);
    assert_eq!(contents(&server).await, before);

    set(&server, "maxmemory", "0").await;
    publish(&store, &held, &batch(&held, 1, &["b"])).await;
}

#[tokio::test]
async fn a_full_server_lets_an_acquired_lease_be_claimed() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let lease = acquire(&store).await;
    set(&server, "maxmemory", "1").await;
    let held = claim(&store, &request(&lease)).await;
    assert!(store.release(&held, ReleaseReason::Asked).await.unwrap());
}

#[tokio::test]
async fn a_beat_is_not_passed_on_by_a_full_server() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let held = lead(&store).await;
    let mut updates = updates(&store).await;
    set(&server, "maxmemory", "1").await;
    assert_kind(store.publish(&held, &beat(&held, 0)).await, FailureKind::Oom);
    set(&server, "maxmemory", "0").await;
    let good = batch(&held, 0, &["a"]);
    publish(&store, &held, &good).await;
    assert_eq!(next(&mut updates).await, *good.items[0].publication.json());
}

#[tokio::test]
async fn a_beat_is_not_passed_on_by_a_read_only_server() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let held = lead(&store).await;
    let mut updates = updates(&store).await;
    let nowhere = free_port().to_string();
    let _: String = ask(&server, &["REPLICAOF", "127.0.0.1", &nowhere]).await;
    assert_kind(store.publish(&held, &beat(&held, 0)).await, FailureKind::ReadOnly);
    let _: String = ask(&server, &["REPLICAOF", "NO", "ONE"]).await;
    let good = batch(&held, 0, &["a"]);
    publish(&store, &held, &good).await;
    assert_eq!(next(&mut updates).await, *good.items[0].publication.json());
}

#[tokio::test]
async fn a_cluster_server_without_the_slot() {
    let server = RedisServer::with_options(&["--cluster-enabled", "yes"]).await;
    let store = store_on(&server);
    assert_kind(store.observe().await, FailureKind::Moved);
    assert!(store.acquire().await.is_none());
    let _: String = ask(&server, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    recovers(&store).await;
}

#[tokio::test]
async fn a_paused_server() {
    let server = RedisServer::start().await;
    let store = impatient_store_on(&server);
    store.observe().await.unwrap();
    let _: String = ask(&server, &["CLIENT", "PAUSE", "1000"]).await;
    assert_kind(store.observe().await, FailureKind::Timeout);
    recovers(&store).await;
}

#[tokio::test]
async fn an_absent_server() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    store.observe().await.unwrap();
    server.kill().await;
    for _ in 0..2 {
        assert_kind(store.observe().await, FailureKind::Refused);
    }
    assert!(store.acquire().await.is_none());
    assert_kind(store.subscribe(Channel::Updates).await.map(drop), FailureKind::Refused);
    server.restart().await;
    recovers(&store).await;
}

/// A claim whose answer was lost is repeated, as the leader does after any failure.
#[tokio::test]
async fn a_claim_whose_answer_was_lost_can_be_repeated() {
    let server = RedisServer::start().await;
    let store = impatient_store_on(&server);
    let lease = acquire(&store).await;
    let held = claim(&store, &request(&lease)).await;
    let mut operator = server.connection().await;
    let _: String =
        redis::cmd("CLIENT").arg(&["PAUSE", "500"]).query_async(&mut operator).await.unwrap();
    assert_kind(store.claim(&request(&lease)).await, FailureKind::Timeout);
    let again = request(&lease);
    let repeated = answered("the claim", || store.claim(&again)).await;
    assert_eq!(repeated.unwrap().term, held.term);
    let size: usize = operator.xlen("{pollux:test}:timeline").await.unwrap();
    assert_eq!(size, 1);
}
