use std::time::Duration;

use bytes::Bytes;
use pollux::config::{RedisConfig, RedisPlace, Secret, ServerAddress, TlsConfig, TlsIdentity};
use pollux::model::{Beat, Body, ClusterName, EndpointName, Publication, Version};
use pollux::store::{
    Batch, BatchItem, Channel, Claim, ClaimRequest, DatedBeat, LeaseValue, PollState, Published,
    Reading, RedisStore, Store, StoreError, Subscription,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::common::certificates::{Authority, PemFiles};
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::sentinel::{MASTER, Sentinel};
use super::common::tls_server::TlsServer;

/// Long enough for a loaded machine; nothing waits for it but a failing test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// A lease that does not end while a test runs.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// A lease that ends soon.
pub(crate) const SHORT: Duration = Duration::from_millis(100);
/// Who claims.
pub(crate) const REPLICA: &str = "castor";
pub(crate) const ADDRESS: &str = "http://127.0.0.1:9090";

/// Makes each function three tests: over the embedded store; over Redis as a user with the least
/// privileges; and over Redis in the shape that differs most from the plain one.
macro_rules! on_every_store {
    ($($behaviour:ident),+ $(,)?) => {
        mod embedded {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    super::$behaviour(&pollux::store::EmbeddedStore::new()).await;
                }
            )+
        }

        mod redis_with_least_privileges {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let server = crate::setup::guarded_server().await;
                    super::$behaviour(&crate::setup::store_of_poller(&server)).await;
                }
            )+
        }

        mod sentinel_over_tls {
            $(
                #[tokio::test]
                async fn $behaviour() {
                    let watched = crate::setup::WatchedOverTls::start().await;
                    super::$behaviour(&watched.store()).await;
                }
            )+
        }
    };
}
pub(crate) use on_every_store;

/// A server with the users of the example.
pub(crate) async fn guarded_server() -> RedisServer {
    let acl = concat!(env!("CARGO_MANIFEST_DIR"), "/config/redis-acl.conf");
    RedisServer::with_options(&["--include", acl]).await
}

/// What a poller may do on such a server.
pub(crate) fn store_of_poller(server: &RedisServer) -> RedisStore {
    let username = Some("pollux-poller".to_owned());
    let password = Some(Secret::new("change-me".to_owned()));
    store_with(RedisConfig { username, password, ..at(&server.url()) })
}

/// The store of the cluster `test` on a server.
pub(crate) fn store_on(server: &RedisServer) -> RedisStore {
    store_at(&server.url())
}

pub(crate) fn store_at(url: &str) -> RedisStore {
    store_with(at(url))
}

pub(crate) fn store_with(config: RedisConfig) -> RedisStore {
    RedisStore::new(&ClusterName::new("test").unwrap(), &config)
}

/// The configuration for a server on this machine.
pub(crate) fn at(url: &str) -> RedisConfig {
    let (_, port) = url.rsplit_once(':').unwrap();
    configured(RedisPlace::Server { address: here(port.parse().unwrap()), database: 0 })
}

pub(crate) fn configured(place: RedisPlace) -> RedisConfig {
    let timeout = Duration::from_secs(5);
    RedisConfig { place, username: None, password: None, tls: None, timeout }
}

pub(crate) fn here(port: u16) -> ServerAddress {
    ServerAddress { host: "127.0.0.1".to_owned(), port }
}

/// A server and the Sentinel that watches it, both of which ask for certificates.
pub(crate) struct WatchedOverTls {
    sentinel: Sentinel,
    files: PemFiles,
    _server: TlsServer,
}

impl WatchedOverTls {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new("authority");
        let server = TlsServer::start(&authority).await;
        let sentinel = Sentinel::over_tls(&server).await;
        Self { sentinel, files: PemFiles::of(&authority, &authority.sign()), _server: server }
    }

    pub(crate) fn store(&self) -> RedisStore {
        let nodes = vec![here(self.sentinel.port)];
        let place = RedisPlace::Sentinel { master: MASTER.to_owned(), nodes };
        store_with(RedisConfig { tls: Some(tls_with(&self.files)), ..configured(place) })
    }
}

/// What a client needs to know of its files.
pub(crate) fn tls_with(files: &PemFiles) -> TlsConfig {
    let identity = TlsIdentity { cert: files.path("cert"), key: files.path("key") };
    TlsConfig { ca: Some(files.path("ca")), identity: Some(identity) }
}

pub(crate) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).unwrap()
}

/// A claim of `lease` as nearly all tests make it: for long, by [`REPLICA`].
pub(crate) fn request(lease: &LeaseValue) -> ClaimRequest {
    ClaimRequest {
        lease: lease.clone(),
        duration: LONG,
        seen: 0,
        alive: Uuid::new_v4(),
        replica: REPLICA.to_owned(),
        address: ADDRESS.to_owned(),
        gap: Duration::ZERO,
        reinstate: false,
    }
}

pub(crate) async fn acquire(store: &dyn Store) -> LeaseValue {
    store.acquire().await.expect("the lease is free")
}

pub(crate) async fn claim(store: &dyn Store, request: &ClaimRequest) -> Claim {
    store.claim(request).await.unwrap().expect("the lease is this one")
}

/// Acquires and claims for long.
pub(crate) async fn lead(store: &dyn Store) -> Claim {
    let lease = acquire(store).await;
    claim(store, &request(&lease)).await
}

/// A claim whose lease has ended, with nobody after it.
pub(crate) async fn expired_claim(store: &dyn Store) -> Claim {
    let lease = acquire(store).await;
    let claim = claim(store, &ClaimRequest { duration: SHORT, ..request(&lease) }).await;
    until_free(store).await;
    claim
}

pub(crate) async fn until_free(store: &dyn Store) {
    eventually(DEADLINE, "the lease is free", || async {
        store.observe().await.unwrap().held_for.is_none().then_some(())
    })
    .await;
}

/// How long the lease is still held.
pub(crate) async fn held_for(store: &dyn Store) -> Duration {
    store.observe().await.unwrap().held_for.expect("the lease is held")
}

pub(crate) fn publication(endpoint: &str, version: Version, body: &str) -> Publication {
    let body = Body::json(Bytes::from(body.to_owned())).unwrap();
    Publication::new(name(endpoint), version, version.term, "application/json".into(), body)
}

/// A publication with the state that belongs to it.
pub(crate) fn item(endpoint: &str, version: Version, body: &str) -> BatchItem {
    let state = PollState {
        version,
        hash: format!("hash of {body}"),
        etag: Some(format!("\"{version}\"")),
        ..PollState::default()
    };
    BatchItem { publication: publication(endpoint, version, body), state }
}

/// A batch that publishes these endpoints after `after`, with a history and without a beat.
pub(crate) fn batch(claim: &Claim, after: u64, endpoints: &[&str]) -> Batch {
    let versions = (after + 1..).map(|sequence| Version::new(claim.term, sequence));
    let items = endpoints.iter().zip(versions).map(|(endpoint, version)| {
        item(endpoint, version, &format!("{{\"version\":\"{version}\"}}"))
    });
    let checked = endpoints.iter().map(|endpoint| (name(endpoint), claim.now));
    Batch {
        after,
        items: items.collect(),
        checked: checked.collect(),
        history: 1000,
        ..Batch::default()
    }
}

/// A batch with nothing but a beat.
pub(crate) fn beat(claim: &Claim, after: u64) -> Batch {
    let last = Version::new(claim.term, after);
    let beat = Beat { last, checked: vec![name("a")] }.json();
    let beat = DatedBeat { json: beat, until: u64::MAX };
    Batch { after, beat: Some(beat), history: 1000, ..Batch::default() }
}

pub(crate) async fn publish(store: &dyn Store, claim: &Claim, batch: &Batch) {
    assert_eq!(store.publish(claim, batch).await.unwrap(), Published::Accepted);
}

pub(crate) async fn updates(store: &dyn Store) -> Subscription {
    store.subscribe(Channel::Updates).await.unwrap()
}

pub(crate) async fn next(subscription: &mut Subscription) -> Bytes {
    timeout(DEADLINE, subscription.next()).await.expect("a message").expect("still subscribed")
}

pub(crate) async fn read(store: &dyn Store, endpoints: &[&str]) -> Reading {
    let endpoints: Vec<EndpointName> = endpoints.iter().map(|text| name(text)).collect();
    store.read(&endpoints).await.unwrap()
}

/// The first answer after failures: a store gives up a broken connection by failing once.
pub(crate) async fn answered<T, F>(what: &str, request: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    eventually(DEADLINE, what, || async { request().await.ok() }).await
}
