//! A master that Sentinel watches, and replaces when it fails.

use std::time::Duration;

use pollux::config::{RedisConfig, RedisPlace, Secret};
use pollux::store::{
    Channel, Claim, ClaimRequest, FailureKind, RedisStore, ReleaseReason, Renewal, Store as _,
};
use rustix::process::Signal;
use tokio::time::timeout;
use uuid::Uuid;

use super::ask;
use crate::common::redis_server::RedisServer;
use crate::common::sentinel::{MASTER, Sentinel, replicated};
use crate::common::{eventually, free_port};
use crate::setup::{
    DEADLINE, answered, batch, claim, configured, here, lead, next, publish, read, request,
    store_on, store_with, updates,
};

fn watched_by(sentinels: &[u16]) -> RedisConfig {
    let nodes = sentinels.iter().map(|port| here(*port)).collect();
    configured(RedisPlace::Sentinel { master: MASTER.to_owned(), nodes })
}

/// A store that soon gives up waiting.
fn store_watched_by(sentinel: &Sentinel) -> RedisStore {
    let timeout = Duration::from_millis(500);
    store_with(RedisConfig { timeout, ..watched_by(&[sentinel.port]) })
}

/// What a leader does once its server was replaced: finds out, and goes on under a new term.
async fn go_on(store: &RedisStore, old: &Claim) -> Claim {
    let renewal = answered("a renewal", || store.renew(old, Uuid::new_v4())).await;
    assert_eq!(renewal, Renewal::OtherServer);
    let new = claim(store, &ClaimRequest { reinstate: true, ..request(old.lease()) }).await;
    assert!(new.term > old.term);
    assert_ne!(new.run_id, old.run_id);
    new
}

#[tokio::test]
async fn the_master_is_asked_of_sentinel() {
    let server = RedisServer::start().await;
    let sentinel = Sentinel::watching(&server).await;
    let store = store_watched_by(&sentinel);
    let claim = lead(&store).await;
    let mut updates = updates(&store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(&store, &claim, &sent).await;
    assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
}

#[tokio::test]
async fn a_killed_master_is_followed_to_its_successor() {
    let (mut master, replica, sentinel) = replicated().await;
    let store = store_watched_by(&sentinel);
    let old = lead(&store).await;
    publish(&store, &old, &batch(&old, 0, &["a"])).await;
    master.kill().await;
    let new = go_on(&store, &old).await;
    assert_eq!(sentinel.master().await, replica.port);
    let mut updates = updates(&store).await;
    let sent = batch(&new, 0, &["a"]);
    publish(&store, &new, &sent).await;
    assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
    assert_eq!(read(&store_on(&replica), &["a"]).await.version.term, new.term);
}

/// Its sockets stay open, and nothing else tells that it is not the master any more.
#[tokio::test]
async fn channels_at_a_master_that_froze_end_once_another_is_found() {
    let (master, replica, sentinel) = replicated().await;
    let store = store_watched_by(&sentinel);
    let old = lead(&store).await;
    let mut open = Vec::new();
    for channel in [Channel::Updates, Channel::Leadership, Channel::Alive(Uuid::new_v4())] {
        open.push(store.subscribe(channel).await.unwrap());
    }
    master.signal(Signal::STOP);
    sentinel.names(replica.port).await;
    go_on(&store, &old).await;
    for subscription in &mut open {
        assert!(timeout(DEADLINE, subscription.next()).await.expect("it ends").is_none());
    }
    master.signal(Signal::CONT);
}

#[tokio::test]
async fn a_master_that_returns_after_its_successor_is_not_used() {
    let (master, replica, sentinel) = replicated().await;
    let store = store_watched_by(&sentinel);
    let old = lead(&store).await;
    publish(&store, &old, &batch(&old, 0, &["a"])).await;
    read(&store, &["a"]).await;
    master.signal(Signal::STOP);
    sentinel.names(replica.port).await;
    let new = go_on(&store, &old).await;
    // It still takes itself for the master, and some connections lead there.
    master.signal(Signal::CONT);
    publish(&store, &new, &batch(&new, 0, &["a"])).await;
    assert_eq!(read(&store, &["a"]).await.version.term, new.term);
    assert_eq!(read(&store_on(&replica), &["a"]).await.version.term, new.term);
}

/// What a server says that it is; `None`: it was cut off before, as clients of one that is demoted.
async fn role(server: &RedisServer) -> Option<String> {
    let client = redis::Client::open(server.url()).ok()?;
    let mut connection = client.get_multiplexed_async_connection().await.ok()?;
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut connection).await.ok()?;
    redis::from_redis_value(role.into_iter().next()?).ok()
}

#[tokio::test]
async fn a_master_that_was_demoted_on_purpose_is_left() {
    let (master, _replica, sentinel) = replicated().await;
    let store = store_watched_by(&sentinel);
    let old = lead(&store).await;
    let mut updates = updates(&store).await;
    let _: String = sentinel.ask(&["FAILOVER", MASTER]).await;
    // It names the other at once, and demotes this one some seconds later.
    eventually(Duration::from_secs(30), "the old master is demoted", || async {
        role(&master).await.filter(|role| role == "slave")
    })
    .await;
    go_on(&store, &old).await;
    assert!(timeout(DEADLINE, updates.next()).await.expect("it ends").is_none());
}

#[tokio::test]
async fn a_sentinel_that_is_gone_is_passed_over() {
    let server = RedisServer::start().await;
    let sentinel = Sentinel::watching(&server).await;
    lead(&store_with(watched_by(&[free_port(), sentinel.port]))).await;
}

#[tokio::test]
async fn a_sentinel_that_names_a_replica_is_passed_over() {
    let master = RedisServer::start().await;
    let replica = RedisServer::replicating(&master).await;
    // It takes it for a master whatever it says of itself, for more than twenty seconds.
    let behind = Sentinel::watching(&replica).await;
    let sentinel = Sentinel::watching(&master).await;
    let store = store_with(watched_by(&[behind.port, sentinel.port]));
    let failure = store.observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::ReadOnly);
    assert!(failure.message.contains("Pollux waits until a master"), "{failure}");
    lead(&store).await;
}

#[tokio::test]
async fn a_channel_is_not_subscribed_to_at_a_replica() {
    let master = RedisServer::start().await;
    let replica = RedisServer::replicating(&master).await;
    let behind = Sentinel::watching(&replica).await;
    let failure = store_watched_by(&behind).subscribe(Channel::Updates).await.map(drop);
    assert_eq!(failure.unwrap_err().kind, FailureKind::ReadOnly);
}

#[tokio::test]
async fn the_password_is_given_to_servers_and_to_sentinels_that_ask() {
    let server = RedisServer::with_options(&["--requirepass", "secret"]).await;
    let login = format!("sentinel auth-pass {MASTER} secret");
    let open = Sentinel::with_settings(&server, &login).await;
    let closed = Sentinel::with_settings(&server, &format!("{login}\nrequirepass secret")).await;
    for sentinel in [open, closed] {
        let password = Some(Secret::new("secret".to_owned()));
        let store = store_with(RedisConfig { password, ..watched_by(&[sentinel.port]) });
        let claim = lead(&store).await;
        store.release(&claim, ReleaseReason::Asked).await.unwrap();
    }
}

#[tokio::test]
async fn sentinels_that_do_not_help_are_all_named() {
    let server = RedisServer::start().await;
    let sentinel = Sentinel::watching(&server).await;
    let nowhere = free_port();
    let nodes = vec![here(nowhere), here(sentinel.port)];
    let place = RedisPlace::Sentinel { master: "other".to_owned(), nodes };
    let failure = store_with(configured(place)).observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Other);
    let (first, second) =
        (format!("127.0.0.1:{nowhere}: "), format!("127.0.0.1:{}: ", sentinel.port));
    assert!(failure.message.starts_with("Sentinel names no master: "), "{failure}");
    assert!(failure.message.contains(&first), "{failure}");
    assert!(failure.message.contains(&format!("{second}it watches no master called other")));
    assert!(failure.message.ends_with("(check that they run and that redis.sentinel is right)"));
}

#[tokio::test]
async fn a_server_that_is_no_sentinel_is_said() {
    let server = RedisServer::start().await;
    let failure = store_with(watched_by(&[server.port])).observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Other);
    assert!(failure.message.contains("redis.sentinel is right"), "{failure}");
    let known: u64 = ask(&server, &["DBSIZE"]).await;
    assert_eq!(known, 0);
}
