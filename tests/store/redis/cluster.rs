//! A Redis Cluster, in which one of several servers holds all that Pollux keeps.

use std::time::Duration;

use pollux::config::{RedisConfig, RedisPlace};
use pollux::store::{
    Channel, ClaimRequest, FailureKind, RedisStore, ReleaseReason, Renewal, Store as _,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::{ask, key};
use crate::common::eventually;
use crate::common::redis_cluster::RedisCluster;
use crate::common::redis_server::RedisServer;
use crate::setup::{
    DEADLINE, acquire, answered, batch, claim, configured, here, lead, next, publish, read,
    request, store_with, updates,
};

/// A store that knows these servers alone.
fn store_of(servers: &[&RedisServer]) -> RedisStore {
    let nodes = servers.iter().map(|server| here(server.port)).collect();
    let timeout = Duration::from_millis(500);
    store_with(RedisConfig { timeout, ..configured(RedisPlace::Cluster { nodes }) })
}

/// The index of a server that neither owns the keys nor is `other`.
fn bystander(owner: usize, other: usize) -> usize {
    (0..3).find(|index| ![owner, other].contains(index)).unwrap()
}

#[tokio::test]
async fn any_server_leads_to_the_owner_of_the_slot() {
    let cluster = RedisCluster::start().await;
    let owner = cluster.owner(&key("lease")).await;
    for server in &cluster.servers {
        let store = store_of(&[server]);
        let claim = lead(&store).await;
        let mut updates = updates(&store).await;
        let sent = batch(&claim, 0, &["a", "b"]);
        publish(&store, &claim, &sent).await;
        assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
        assert_eq!(read(&store, &["a", "b"]).await.snapshots.len(), 2);
        assert_eq!(store.survey().await.unwrap().observation.record.unwrap().term, claim.term);
        assert!(store.release(&claim, ReleaseReason::Asked).await.unwrap());
    }
    let held: u64 = ask(&cluster.servers[owner], &["DBSIZE"]).await;
    assert!(held > 0);
}

/// A script counts only those who subscribe at its own server.
#[tokio::test]
async fn the_liveness_channel_is_counted() {
    let cluster = RedisCluster::start().await;
    let owner = cluster.owner(&key("lease")).await;
    let store = store_of(&[&cluster.servers[(owner + 1) % 3]]);
    let alive = Uuid::new_v4();
    let _liveness = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let lease = acquire(&store).await;
    claim(&store, &ClaimRequest { alive, ..request(&lease) }).await;
    let record = store.observe().await.unwrap().record.unwrap();
    assert_eq!(record.alive, key(&format!("alive:{alive}")));
}

#[tokio::test]
async fn everything_follows_the_slot_to_another_server() {
    let cluster = RedisCluster::start().await;
    let from = cluster.owner(&key("lease")).await;
    let to = (from + 1) % 3;
    let store = store_of(&[&cluster.servers[bystander(from, to)]]);
    let old = lead(&store).await;
    let earlier = batch(&old, 0, &["a"]);
    publish(&store, &old, &earlier).await;
    let mut before = updates(&store).await;
    cluster.migrate(&key("lease"), from, to).await;

    let renewal = answered("a renewal", || store.renew(&old, Uuid::new_v4())).await;
    assert_eq!(renewal, Renewal::OtherServer);
    assert!(timeout(DEADLINE, before.next()).await.expect("it ends").is_none());
    let alive = Uuid::new_v4();
    let _liveness = store.subscribe(Channel::Alive(alive)).await.unwrap();
    let new = claim(&store, &ClaimRequest { alive, ..request(old.lease()) }).await;
    assert!(new.term > old.term);
    let record = store.observe().await.unwrap().record.unwrap();
    assert_eq!(record.alive, key(&format!("alive:{alive}")));
    let mut after = updates(&store).await;
    let sent = batch(&new, 0, &["a"]);
    publish(&store, &new, &sent).await;
    let mut heard = next(&mut after).await;
    if heard == *earlier.items[0].publication.json() {
        // Servers pass publications on to each other: this one took its time.
        heard = next(&mut after).await;
    }
    assert_eq!(heard, *sent.items[0].publication.json());
    assert_eq!(read(&store, &["a"]).await.version.term, new.term);
}

/// The server that was configured is no help any more.
#[tokio::test]
async fn the_slot_is_followed_when_the_configured_server_is_gone() {
    let mut cluster = RedisCluster::start().await;
    let from = cluster.owner(&key("lease")).await;
    let to = (from + 1) % 3;
    let configured = bystander(from, to);
    let store = store_of(&[&cluster.servers[configured]]);
    let old = lead(&store).await;
    cluster.servers[configured].kill().await;
    cluster.migrate(&key("lease"), from, to).await;
    let renewal = answered("a renewal", || store.renew(&old, Uuid::new_v4())).await;
    assert_eq!(renewal, Renewal::OtherServer);
}

#[tokio::test]
async fn an_owner_that_was_demoted_is_left() {
    let mut cluster = RedisCluster::start().await;
    let owner = cluster.owner(&key("lease")).await;
    cluster.add_replica(owner).await;
    let store = store_of(&cluster.servers.iter().collect::<Vec<_>>());
    let old = lead(&store).await;
    let mut updates = updates(&store).await;
    let replica = cluster.servers.last().unwrap();
    let _: String = ask(replica, &["CLUSTER", "FAILOVER"]).await;
    eventually(DEADLINE, "the replica is promoted", || async {
        let info: String = ask(replica, &["INFO", "replication"]).await;
        info.contains("role:master").then_some(())
    })
    .await;
    let renewal = answered("a renewal", || store.renew(&old, Uuid::new_v4())).await;
    assert_eq!(renewal, Renewal::OtherServer);
    assert!(timeout(DEADLINE, updates.next()).await.expect("it ends").is_none());
    claim(&store, &request(old.lease())).await;
}

#[tokio::test]
async fn a_server_that_is_in_no_cluster_is_said() {
    let server = RedisServer::start().await;
    let failure = store_of(&[&server]).observe().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Other);
    assert!(failure.message.starts_with("Redis Cluster names no owner of the keys"), "{failure}");
    assert!(failure.message.ends_with("and that redis.cluster is right)"), "{failure}");
}

#[tokio::test]
async fn a_slot_without_an_owner_is_said() {
    let server = RedisServer::with_options(&["--cluster-enabled", "yes"]).await;
    let failure = store_of(&[&server]).observe().await.unwrap_err();
    assert!(failure.message.contains("it knows no owner of the slot"), "{failure}");
}
