//! Redis loses data: terms go on growing, nobody is sent anything older, and what was lost is back.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{
    Cluster, Settings, assert_nobody_went_back, standing, until_all_hold, until_all_reach,
    until_published,
};
use crate::common::eventually;
use crate::common::proxy::Proxy;
use crate::common::redis_server::RedisServer;
use crate::{DEADLINE, ask, key};

const SETTINGS: Settings = Settings { every: Duration::from_millis(100), ..Settings::BRIEF };

#[tokio::test(flavor = "multi_thread")]
async fn a_store_emptied_under_the_leader_is_full_again_after_an_interval() {
    let cluster = Cluster::start(SETTINGS).await;
    let before = cluster.standing().await;
    let clients = cluster.clients();
    until_all_hold(&clients, "first").await;
    let emptied = Instant::now();
    ask::<()>(&cluster.redis, &["FLUSHALL"]).await;
    cluster.until_published("first").await;
    let took = emptied.elapsed();
    println!("full again after {took:?}");
    // The next renewal notices, which is at most a retry period away, and then a poll is due; as
    // much again is for a busy machine.
    assert!(took < (SETTINGS.retry_period + SETTINGS.every) * 2, "{took:?}");
    let after = cluster.standing().await;
    assert!(after.term > before.term);
    until_all_reach(&clients, after.term).await;
    assert_nobody_went_back(&clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_empty_is_claimed_anew_by_the_same_leader() {
    let mut cluster = Cluster::start(SETTINGS).await;
    let before = cluster.standing().await;
    let clients = cluster.clients();
    until_all_hold(&clients, "first").await;
    cluster.redis.kill().await;
    cluster.redis.restart().await;
    let restarted = Instant::now();
    cluster.until_published("first").await;
    let took = restarted.elapsed();
    println!("full again after {took:?}");
    assert!(took < (SETTINGS.retry_period + SETTINGS.every) * 2, "{took:?}");
    let after = cluster.standing().await;
    assert_eq!(after.leader, before.leader, "{}", cluster.logs());
    assert!(after.term > before.term);
    assert_eq!(cluster.metric("pollux_leadership_lost_total", "").await, 0.0);
    until_all_reach(&clients, after.term).await;
    assert_nobody_went_back(&clients);
}

/// A server that copies `primary`, and the path on which it does.
async fn replica_of(primary: &RedisServer) -> (RedisServer, Proxy) {
    ask::<()>(primary, &["CONFIG", "SET", "repl-diskless-sync-delay", "0"]).await;
    let link = Proxy::to(primary.port).await;
    let replica = RedisServer::start().await;
    let port = link.port().to_string();
    ask::<()>(&replica, &["REPLICAOF", "127.0.0.1", &port]).await;
    (replica, link)
}

async fn promote(replica: &RedisServer) {
    ask::<()>(replica, &["REPLICAOF", "NO", "ONE"]).await;
}

/// The backend's answer is again what the promoted replica holds, and what readers hold is not: only
/// a publication of its own tells them.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_promotion_of_a_lagging_replica_readers_get_what_it_holds_anew() {
    let cluster = Cluster::start(SETTINGS).await;
    let (replica, link) = replica_of(&cluster.redis).await;
    until_published(&replica, "first").await;
    let before = cluster.standing().await;
    let clients = cluster.clients();
    link.block();
    cluster.backend.say("lost");
    until_all_hold(&clients, "lost").await;

    for member in &cluster.members {
        member.path.block();
    }
    cluster.backend.say("first");
    promote(&replica).await;
    cluster.switch(&cluster.members, &replica);
    for member in &cluster.members {
        member.path.unblock();
    }

    until_all_hold(&clients, "first").await;
    let after = standing(&replica).await;
    assert_eq!(after.leader, before.leader, "{}", cluster.logs());
    assert!(after.term > before.term);
    let sequence: u64 = ask(&replica, &["HGET", &key("leader"), "sequence"]).await;
    assert!(sequence >= 2, "published under the new term");
    assert_nobody_went_back(&clients);
}

/// Two primaries, each with a leader that polls and publishes; and clients that follow whom they
/// find, and such as keep to one gateway.
async fn two_primaries() -> (Cluster, RedisServer, usize) {
    let cluster = Cluster::start(SETTINGS).await;
    let (other, _link) = replica_of(&cluster.redis).await;
    until_published(&other, "first").await;
    let before = cluster.standing().await;
    let apart = (cluster.index(&before.leader) + 1) % cluster.members.len();
    promote(&other).await;
    cluster.switch([&cluster.members[apart]], &other);
    eventually(DEADLINE, "each primary has a leader", || async {
        (cluster.leaders().await.len() == 2).then_some(())
    })
    .await;
    (cluster, other, apart)
}

async fn heal(cluster: &Cluster, healed: &RedisServer, lost: &RedisServer) {
    let mut clients = cluster.clients();
    clients.extend(cluster.faithful_clients());
    cluster.backend.say("split");
    until_all_hold(&clients, "split").await;
    let (one, other) = (standing(healed).await, standing(lost).await);
    assert_ne!(one.leader, other.leader);

    cluster.switch(&cluster.members, healed);
    cluster.until_one_leads().await;
    cluster.backend.say("healed");

    until_published(healed, "healed").await;
    until_all_hold(&clients, "healed").await;
    assert!(standing(healed).await.term >= one.term);
    assert_nobody_went_back(&clients);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_primaries_the_younger_one_stays() {
    let (cluster, other, _) = two_primaries().await;
    heal(&cluster, &other, &cluster.redis).await;
}
