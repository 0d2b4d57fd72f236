//! Connections over TLS, with an authority of one's own and certificates that are replaced.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use pollux::config::{RedisConfig, RedisPlace, TlsConfig, TlsIdentity};
use pollux::store::{FailureKind, RedisStore, Store as _, StoreError};
use tempfile::TempDir;

use super::ask;
use crate::common::certificates::{Authority, Certificate};
use crate::common::free_port;
use crate::common::redis_server::RedisServer;
use crate::setup::{answered, batch, configured, here, lead, next, publish, store_with, updates};

/// A directory with the files of one side.
struct Files(TempDir);

impl Files {
    fn of(authority: &Authority, certificate: &Certificate) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.replace(authority, certificate);
        files
    }

    fn replace(&self, authority: &Authority, certificate: &Certificate) {
        fs::write(self.path("ca"), &authority.pem).unwrap();
        fs::write(self.path("cert"), &certificate.pem).unwrap();
        fs::write(self.path("key"), &certificate.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(format!("{name}.pem"))
    }

    fn tls(&self) -> TlsConfig {
        let identity = TlsIdentity { cert: self.path("cert"), key: self.path("key") };
        TlsConfig { ca: Some(self.path("ca")), identity: Some(identity) }
    }
}

/// A server that asks its clients for certificates.
struct TlsServer {
    port: u16,
    files: Files,
    server: RedisServer,
}

impl TlsServer {
    async fn start(authority: &Authority) -> Self {
        Self::with(authority, &authority.sign()).await
    }

    async fn with(authority: &Authority, certificate: &Certificate) -> Self {
        let files = Files::of(authority, certificate);
        let path = |name| files.path(name).display().to_string();
        let [ca, cert, key] = ["ca", "cert", "key"].map(path);
        let files_of =
            ["--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
        loop {
            let port = free_port();
            let listen = port.to_string();
            let options = [&["--tls-port", &listen], &files_of[..]].concat();
            if let Some(server) = RedisServer::try_with_options(&options).await {
                return Self { port, files, server };
            }
        }
    }

    /// Lets it take other files, as an operator does.
    async fn reload(&self) {
        let path = self.files.path("cert").display().to_string();
        let _: String = ask(&self.server, &["CONFIG", "SET", "tls-cert-file", &path]).await;
    }

    fn store(&self, tls: TlsConfig) -> RedisStore {
        let place = RedisPlace::Server { address: here(self.port), database: 0 };
        store_with(RedisConfig { tls: Some(tls), ..configured(place) })
    }
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
    let files = Files::of(&authority, &authority.sign());
    let store = server.store(files.tls());
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
    let files = Files::of(&other, &authority.sign());
    let store = server.store(files.tls());
    assert_refused(store.observe().await, "UnknownIssuer");
    assert!(store.acquire().await.is_none());
    let system = TlsConfig { ca: None, ..files.tls() };
    assert_refused(server.store(system).observe().await, "UnknownIssuer");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told() {
    let authority = Authority::new("authority");
    let server = TlsServer::start(&authority).await;
    let files = Files::of(&authority, &authority.sign());
    let store = server.store(TlsConfig { identity: None, ..files.tls() });
    assert_refused(store.observe().await, "");
}

#[tokio::test]
async fn a_client_of_another_authority_is_told() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let server = TlsServer::start(&authority).await;
    let files = Files::of(&authority, &other.sign());
    assert_refused(server.store(files.tls()).observe().await, "");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_until_the_server_has_another() {
    let authority = Authority::new("authority");
    let server = TlsServer::with(&authority, &authority.sign_expired()).await;
    let files = Files::of(&authority, &authority.sign());
    let store = server.store(files.tls());
    assert_refused(store.observe().await, "expired");
    server.files.replace(&authority, &authority.sign());
    server.reload().await;
    lead(&store).await;
}

#[tokio::test]
async fn files_that_are_replaced_take_effect() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = TlsServer::start(&old).await;
    let files = Files::of(&old, &old.sign());
    let store = server.store(files.tls());
    store.observe().await.unwrap();
    server.files.replace(&new, &new.sign());
    server.reload().await;
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
    let files = Files::of(&authority, &authority.sign());
    let store = server.store(files.tls());
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
