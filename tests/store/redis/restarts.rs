//! A server with another run id: what was claimed on the one before is not claimed there.

use pollux::model::Version;
use pollux::store::{
    Cause, Claim, ClaimRequest, LeaseValue, Published, RedisStore, ReleaseReason, Renewal,
    Store as _,
};
use uuid::Uuid;

use super::{ask, contents, key};
use crate::common::proxy::Proxy;
use crate::common::redis_server::RedisServer;
use crate::setup::{
    LONG, answered, batch, claim, expired_claim, held_for, lead, publish, read, request, store_at,
    store_on, updates,
};

/// Ends the server and starts it again, with nothing of what it held.
async fn restart_empty(server: &mut RedisServer) {
    server.kill().await;
    server.restart().await;
}

/// Ends the server and starts it again, with all that it held.
async fn restart_with_data(server: &mut RedisServer) {
    let _: String = ask(server, &["SAVE"]).await;
    restart_empty(server).await;
}

/// The request by which a leader goes on with `lease` on another server.
fn reinstating(lease: &LeaseValue) -> ClaimRequest {
    ClaimRequest { reinstate: true, ..request(lease) }
}

/// What a leader does first when the server was away.
async fn notice_restart(store: &RedisStore, old: &Claim) {
    let renewal = answered("a renewal", || store.renew(old, Uuid::new_v4())).await;
    assert_eq!(renewal, Renewal::OtherServer);
}

#[tokio::test]
async fn a_renewal_after_an_empty_restart_touches_nothing() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    assert_eq!(contents(&server).await, []);
}

#[tokio::test]
async fn a_renewal_after_a_restart_with_data_touches_nothing() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_with_data(&mut server).await;
    let (before, held) = (contents(&server).await, held_for(&store_on(&server)).await);
    notice_restart(&store, &old).await;
    assert_eq!(contents(&server).await, before);
    assert!(held_for(&store).await <= held);
}

#[tokio::test]
async fn a_publication_after_a_restart_touches_nothing() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    publish(&store, &old, &batch(&old, 0, &["a"])).await;
    restart_with_data(&mut server).await;
    let before = contents(&server).await;
    let next = batch(&old, 1, &["a"]);
    let answer = answered("a publication", || store.publish(&old, &next)).await;
    assert_eq!(answer, Published::OtherServer);
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn the_leader_puts_its_lease_back_on_an_empty_server() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    let seen = old.term + 1_000_000;
    let new = claim(&store, &ClaimRequest { seen, ..reinstating(old.lease()) }).await;
    assert!(new.term > seen);
    assert_eq!((new.base, new.sequence), (new.term, 0));
    assert_ne!(new.run_id, old.run_id);
    assert!(held_for(&store).await > LONG / 2);
    publish(&store, &new, &batch(&new, 0, &["a"])).await;
}

#[tokio::test]
async fn the_leader_goes_on_under_a_new_term_where_the_data_survived() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    publish(&store, &old, &batch(&old, 0, &["a"])).await;
    restart_with_data(&mut server).await;
    notice_restart(&store, &old).await;
    let new = claim(&store, &request(old.lease())).await;
    assert!(new.term > old.term);
    assert_eq!((new.base, new.sequence, new.cause), (new.term, 0, Cause::Restarted));
    publish(&store, &new, &batch(&new, 0, &["a"])).await;
}

#[tokio::test]
async fn a_lease_that_ended_meanwhile_is_put_back() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    let _: u64 = ask(&server, &["DEL", &key("lease")]).await;
    restart_with_data(&mut server).await;
    notice_restart(&store, &old).await;
    let new = claim(&store, &reinstating(old.lease())).await;
    assert!(new.term > old.term);
    assert_eq!(new.cause, Cause::Restarted);
    assert!(held_for(&store).await > LONG / 2);
}

#[tokio::test]
async fn nobody_puts_a_lease_back_unless_asked_to() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    assert!(store.claim(&request(old.lease())).await.unwrap().is_none());
    assert_eq!(contents(&server).await, []);
}

#[tokio::test]
async fn a_lease_is_not_put_back_over_the_acquisition_of_another() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    let rival = store.acquire().await.expect("the lease is free");
    assert!(store.claim(&reinstating(old.lease())).await.unwrap().is_none());
    claim(&store, &request(&rival)).await;
}

#[tokio::test]
async fn a_lease_is_not_put_back_once_another_has_led_there() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    let other = lead(&store).await;
    store.release(&other, ReleaseReason::Asked).await.unwrap();
    let before = contents(&server).await;
    assert!(store.claim(&reinstating(old.lease())).await.unwrap().is_none());
    assert_eq!(contents(&server).await, before);
}

#[tokio::test]
async fn a_lease_that_ended_on_the_same_server_is_not_put_back() {
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let ended = expired_claim(&store).await;
    assert!(store.claim(&reinstating(ended.lease())).await.unwrap().is_none());
    assert!(store.observe().await.unwrap().held_for.is_none());
}

#[tokio::test]
async fn a_repeated_claim_on_the_new_server_gets_the_same_term() {
    let mut server = RedisServer::start().await;
    let store = store_on(&server);
    let old = lead(&store).await;
    restart_empty(&mut server).await;
    notice_restart(&store, &old).await;
    let new = claim(&store, &reinstating(old.lease())).await;
    let again = claim(&store, &reinstating(old.lease())).await;
    assert_eq!(again.term, new.term);
    assert_eq!(store.survey().await.unwrap().timeline.len(), 1);
}

/// As when an address moves to a promoted replica while the old primary still runs.
#[tokio::test]
async fn every_connection_follows_once_one_has_found_another_server() {
    let (old_server, new_server) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::to(old_server.port).await;
    let store = store_at(&proxy.url());
    let old = lead(&store).await;
    proxy.lead_to(new_server.port);
    // The first publication opens a connection of its own; renewals have one to the old server.
    let answer = store.publish(&old, &batch(&old, 0, &["a"])).await.unwrap();
    assert_eq!(answer, Published::OtherServer);
    let new = claim(&store, &reinstating(old.lease())).await;
    assert_ne!(new.run_id, old.run_id);
    publish(&store, &new, &batch(&new, 0, &["a"])).await;
}

#[tokio::test]
async fn a_claim_follows_its_acquisition_to_another_server() {
    let (old_server, new_server) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::to(old_server.port).await;
    let store = store_at(&proxy.url());
    store.observe().await.unwrap();
    proxy.lead_to(new_server.port);
    let lease = store.acquire().await.expect("the lease is free there");
    assert!(store.claim(&request(&lease)).await.unwrap().is_none());
    claim(&store, &request(&lease)).await;
}

#[tokio::test]
async fn reads_follow_the_subscription_to_another_server() {
    let (old_server, new_server) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = Proxy::to(old_server.port).await;
    let store = store_at(&proxy.url());
    assert_eq!(read(&store, &["a"]).await.version, Version::NONE);
    let elsewhere = store_on(&new_server);
    let leading = lead(&elsewhere).await;
    publish(&elsewhere, &leading, &batch(&leading, 0, &["a"])).await;
    proxy.lead_to(new_server.port);
    let _updates = updates(&store).await;
    assert_eq!(read(&store, &["a"]).await.version, Version::new(leading.term, 1));
}
