use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use metrics::counter;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::access::Access;
use super::failure::{classify, describe};
use super::locate::Locator;
use crate::config::{RedisConfig, RedisPlace, ServerAddress};
use crate::store::{FailureKind, StoreError, Subscription};

/// How often others are asked where the master is while all seems well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The one Redis server that holds the cluster's keys, wherever it is at the time.
#[derive(Clone, Debug)]
pub(super) struct Server {
    locator: Arc<Locator>,
    access: Access,
    /// Where a master was last connected to. All connections are to follow it there.
    present: Arc<watch::Sender<Option<ServerAddress>>>,
    /// When to look again where it is.
    next_look: Arc<Mutex<Instant>>,
    /// The most time for a connection or an answer.
    timeout: Duration,
}

/// What a request is for: the label of `pollux_redis_commands_total`. A script counts once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Lease,
    Probe,
    Publish,
    Read,
    Presence,
}

impl Purpose {
    /// Counts a request.
    pub(super) fn count(self) {
        let name = match self {
            Self::Lease => "lease",
            Self::Probe => "probe",
            Self::Publish => "publish",
            Self::Read => "read",
            Self::Presence => "presence",
        };
        counter!("pollux_redis_commands_total", "purpose" => name).increment(1);
    }
}

/// An open connection and the run id of the server at its other end, which cannot change under it.
#[derive(Clone)]
pub(super) struct Connection {
    address: ServerAddress,
    pub(super) redis: MultiplexedConnection,
    pub(super) run_id: Arc<str>,
}

/// A connection that is opened when it is needed, and given up at the first doubt.
///
/// There are several, so that a large publication never delays a renewal.
pub(super) struct Link {
    server: Server,
    open: Mutex<Option<Connection>>,
}

impl Server {
    /// `key`: any key of the cluster, all of which are at one server.
    pub(super) fn new(config: &RedisConfig, key: &str) -> Self {
        let access = Access::new(config);
        let locator = Arc::new(Locator::new(&config.place, key, &access, config.timeout));
        let present = match &config.place {
            RedisPlace::Server { address, .. } => Some(address.clone()),
            RedisPlace::Sentinel { .. } | RedisPlace::Cluster { .. } => None,
        };
        let present = Arc::new(watch::Sender::new(present));
        let next_look = Arc::new(Mutex::new(Instant::now()));
        Self { locator, access, present, next_look, timeout: config.timeout }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// A client of the server, wherever it is now.
    pub(super) async fn client(&self) -> Result<Client, StoreError> {
        Ok(self.locate().await?.1)
    }

    async fn locate(&self) -> Result<(ServerAddress, Client), StoreError> {
        let address = self.locator.locate().await.map_err(counted)?;
        match self.access.client(&address) {
            Ok(client) => Ok((address, client)),
            Err(error) => Err(self.failed(&address, &error)),
        }
    }

    /// Says what went wrong, counts it, and doubts that the server is still the one.
    fn failed(&self, address: &ServerAddress, error: &RedisError) -> StoreError {
        let place = format!("Redis at {address}");
        let failure = classify(self.locator.advice(), &place, error);
        self.doubt(failure.kind, address, Some(error));
        counted(failure)
    }

    fn doubt(&self, kind: FailureKind, address: &ServerAddress, error: Option<&RedisError>) {
        use FailureKind::{Moved, ReadOnly, Refused, Timeout};
        if matches!(kind, Moved | ReadOnly | Refused | Timeout) {
            self.locator.doubt(address, error);
        }
    }

    /// Bounds a request in time, says what went wrong with it, and counts that. `late` says what
    /// there was none of in time.
    async fn bounded<T>(
        &self,
        address: &ServerAddress,
        limit: Duration,
        late: &str,
        request: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        match timeout(limit, request).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failed(address, &error)),
            Err(_) => {
                let (kind, place) = (FailureKind::Timeout, format!("Redis at {address}"));
                let cause = format_args!("{late} within {}", humantime::format_duration(limit));
                self.doubt(kind, address, None);
                Err(counted(describe(kind, self.locator.advice(), &place, &cause)))
            }
        }
    }

    /// Bounds the opening of a connection in time.
    async fn opened<T>(
        &self,
        address: &ServerAddress,
        opening: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        // A server without TLS waits for the end of what it takes for a long command.
        let late = match self.access.is_encrypted() {
            true => "perhaps it does not speak TLS: no answer",
            false => "no answer",
        };
        self.bounded(address, self.timeout, late, opening).await
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let (address, client) = self.locate().await?;
        self.connect_to(address, &client).await
    }

    /// Connects to a server and makes sure that it is a master, which all then follow.
    async fn connect_to(
        &self,
        address: ServerAddress,
        client: &Client,
    ) -> Result<Connection, StoreError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let opening = client.get_multiplexed_async_connection_with_config(&config);
        let mut redis = self.opened(&address, opening).await?;
        let info = self.bounded(&address, self.timeout, "no answer", facts(&mut redis)).await?;
        let fact = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let run_id = fact("run_id").unwrap_or_default().into();
        self.present.send_if_modified(|present| {
            let moved = present.as_ref() != Some(&address);
            if moved {
                tracing::info!(%address, "found the Redis master");
                *present = Some(address.clone());
            }
            moved
        });
        Ok(Connection { address, redis, run_id })
    }

    /// Looks where the master is, now and then, if others know that: one that was replaced may go on
    /// as if nothing had happened, for ten seconds until Sentinel demotes it. What leads elsewhere is
    /// then given up. Does not wait for the answer.
    pub(super) fn look_around(&self) {
        if matches!(*self.locator, Locator::Fixed(_)) {
            return;
        }
        {
            let mut next_look = self.next_look.lock();
            let now = Instant::now();
            if now < *next_look {
                return;
            }
            *next_look = now + LOOK_EVERY;
        }
        let server = self.clone();
        tokio::spawn(async move {
            let Ok((address, client)) = server.locate().await else { return };
            if server.present.borrow().is_some() && !server.is_present(&address) {
                server.connect_to(address, &client).await.ok();
            }
        });
    }

    fn is_present(&self, address: &ServerAddress) -> bool {
        self.present.borrow().as_ref() == Some(address)
    }

    /// Opens a connection of its own for one channel. It ends as soon as the master is known to be
    /// elsewhere: the server from before may go on as if nothing had happened.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<Subscription, StoreError> {
        let (address, client) = self.locate().await?;
        if !self.is_present(&address) {
            // Only a connection that is not for a channel can ask whether it leads to a master.
            self.connect_to(address.clone(), &client).await?;
        }
        let mut present = self.present.subscribe();
        let opening = async {
            let mut pubsub = client.get_async_pubsub().await?;
            pubsub.subscribe(channel).await?;
            Ok(pubsub)
        };
        let pubsub = self.opened(&address, opening).await?;
        let messages =
            pubsub.into_on_message().map(|message| message.get_payload_bytes().to_vec().into());
        let elsewhere = async move {
            let elsewhere = |present: &Option<_>| present.as_ref() != Some(&address);
            if present.wait_for(elsewhere).await.is_err() {
                std::future::pending().await
            }
        };
        Ok(Subscription::new(messages.take_until(elsewhere).boxed()))
    }
}

/// What a server says of itself.
///
/// # Errors
/// Also where it is a replica: it would take no writes, and what can be read there may be old.
async fn facts(redis: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let mut info = redis::cmd("INFO");
    match info.arg("server").arg("replication").query_async::<String>(redis).await {
        // The run id stays unknown, and a restart of the server unseen.
        Err(error) if error.code() == Some("NOPERM") => Ok(String::new()),
        Ok(facts) if facts.lines().any(|line| line == "role:slave") => {
            let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
            Err((kind, "connected to a replica").into())
        }
        reply => reply,
    }
}

/// Whether a server that is the right one has answered, on a connection that is as good as any.
fn is_plain_refusal(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Oom | FailureKind::Busy | FailureKind::Loading)
}

fn counted(failure: StoreError) -> StoreError {
    counter!("pollux_redis_failures_total", "kind" => failure.kind.as_str()).increment(1);
    failure
}

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Self { server, open: Mutex::new(None) }
    }

    /// Lets the next request start on a new connection.
    pub(super) fn give_up(&self) {
        *self.open.lock() = None;
    }

    /// The open connection, or a new one.
    async fn connection(&self) -> Result<Connection, StoreError> {
        let open = self.open.lock().clone();
        if let Some(open) = open.filter(|open| self.server.is_present(&open.address)) {
            return Ok(open);
        }
        let opened = self.server.connect().await?;
        *self.open.lock() = Some(opened.clone());
        Ok(opened)
    }

    /// Sends a request, and counts it. On failure the connection is given up, so that the next request
    /// starts on a new one: a reply that comes late can then never be taken for another's. But for a
    /// server that says that it cannot now: it has answered, and a new connection may not be had.
    pub(super) async fn request<T, F>(
        &self,
        purpose: Purpose,
        limit: Duration,
        send: impl FnOnce(Connection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let connection = self.connection().await?;
        let address = connection.address.clone();
        purpose.count();
        let result = self.server.bounded(&address, limit, "no answer", send(connection)).await;
        if result.as_ref().is_err_and(|failure| !is_plain_refusal(failure.kind)) {
            self.give_up();
        }
        result
    }
}
