//! Connections over TLS, with an authority of one's own and certificates that are replaced.

use std::fs;
use std::time::Duration;

use pollux::config::{RedisConfig, RedisPlace, TlsConfig};
use pollux::store::{FailureKind, RedisStore, Store as _, StoreError};

use super::ask;
use crate::common::certificates::{Authority, PemFiles};
use crate::common::redis_server::RedisServer;
use crate::common::tls_server::TlsServer;
use crate::setup::{
    answered, batch, configured, here, lead, next, publish, store_with, tls_with, updates,
};

fn store_on(server: &TlsServer, tls: TlsConfig) -> RedisStore {
    let place = RedisPlace::Server { address: here(server.port), database: 0 };
    store_with(RedisConfig { tls: Some(tls), ..configured(place) })
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, StoreError>, words: &str) {
    let failure = answer.expect_err("the connection is refused");
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert!(failure.message.contains(words), "{failure}");
    assert!(failure.message.contains("check redis.tls"), "{failure}");
}

#[tokio::test]
async fn both_sides_know_each_other_by_an_authority_of_their_own() {
    let authority = Authority::new("authority");
    let server = TlsServer::start(&authority).await;
    let files = PemFiles::of(&authority, &authority.sign());
    let store = store_on(&server, tls_with(&files));
    let claim = lead(&store).await;
    let mut updates = updates(&store).await;
    let sent = batch(&claim, 0, &["a"]);
    publish(&store, &claim, &sent).await;
    assert_eq!(next(&mut updates).await, *sent.items[0].publication.json());
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let server = TlsServer::start(&authority).await;
    let files = PemFiles::of(&other, &authority.sign());
    let store = store_on(&server, tls_with(&files));
    assert_refused(store.observe().await, "UnknownIssuer");
    assert!(store.acquire().await.is_none());
    let system = TlsConfig { ca: None, ..tls_with(&files) };
    assert_refused(store_on(&server, system).observe().await, "UnknownIssuer");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told() {
    let authority = Authority::new("authority");
    let server = TlsServer::start(&authority).await;
    let files = PemFiles::of(&authority, &authority.sign());
    let store = store_on(&server, TlsConfig { identity: None, ..tls_with(&files) });
    assert_refused(store.observe().await, "");
}

#[tokio::test]
async fn a_client_of_another_authority_is_told() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let server = TlsServer::start(&authority).await;
    let files = PemFiles::of(&authority, &other.sign());
    assert_refused(store_on(&server, tls_with(&files)).observe().await, "");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_until_the_server_has_another() {
    let authority = Authority::new("authority");
    let server = TlsServer::with(&authority, &authority.sign_expired()).await;
    let files = PemFiles::of(&authority, &authority.sign());
    let store = store_on(&server, tls_with(&files));
    assert_refused(store.observe().await, "expired");
    server.replace(&authority, &authority.sign()).await;
    lead(&store).await;
}

#[tokio::test]
async fn files_that_are_replaced_take_effect() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = TlsServer::start(&old).await;
    let files = PemFiles::of(&old, &old.sign());
    let store = store_on(&server, tls_with(&files));
    store.observe().await.unwrap();
    server.replace(&new, &new.sign()).await;
    let _: u64 = ask(&server.server, &["CLIENT", "KILL", "TYPE", "normal"]).await;
    store.observe().await.unwrap_err();
    assert_refused(store.observe().await, "");
    files.replace(&new, &new.sign());
    answered("the store answers", || store.observe()).await;
    lead(&store).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_named_with_its_setting() {
    let authority = Authority::new("authority");
    let server = TlsServer::start(&authority).await;
    let files = PemFiles::of(&authority, &authority.sign());
    let store = store_on(&server, tls_with(&files));
    fs::remove_file(files.path("key")).unwrap();
    let failure = store.observe().await.unwrap_err();
    let expected =
        format!("redis.tls.key: {}: expected a file, found none", files.path("key").display());
    assert!(failure.message.contains(&expected), "{failure}");
}

#[tokio::test]
async fn a_server_without_tls_is_suspected() {
    let server = RedisServer::start().await;
    let place = RedisPlace::Server { address: here(server.port), database: 0 };
    let timeout = Duration::from_millis(300);
    let tls = Some(TlsConfig::default());
    let store = store_with(RedisConfig { tls, timeout, ..configured(place) });
    let failure = store.observe().await.unwrap_err();
    assert!(failure.message.contains("perhaps it does not speak TLS"), "{failure}");
}
