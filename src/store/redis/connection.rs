use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use metrics::counter;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, RedisError};
use tokio::time::timeout;

use super::failure::{classify, describe};
use crate::config::RedisConfig;
use crate::store::{FailureKind, StoreError, Subscription};
use crate::tls;

/// How long a silent connection may be before the kernel asks whether the other side lives.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// One Redis server, and how to reach it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    client: Client,
    /// The address, for messages.
    place: String,
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
    pub(super) fn new(config: &RedisConfig) -> Result<Self, StoreError> {
        tls::install_provider();
        let place = config.url.host_str().map_or_else(String::new, |host| {
            format!("{host}:{}", config.url.port().unwrap_or(6379))
        });
        let invalid = |error: RedisError| classify(&place, &error);
        let info = config.url.as_str().into_connection_info().map_err(invalid)?;
        let mut login = info.redis_settings().clone();
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose());
        }
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        let client = Client::open(info).map_err(invalid)?;
        Ok(Self { client, place, timeout: config.timeout })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Bounds a request in time, says what went wrong with it, and counts that.
    async fn bounded<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, StoreError> {
        let result = match timeout(limit, request).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => classify(&self.place, &error),
            Err(_) => {
                let waited = humantime::format_duration(limit);
                describe(
                    FailureKind::Timeout,
                    &self.place,
                    &format_args!("no answer within {waited}"),
                )
            }
        };
        counter!("pollux_redis_failures_total", "kind" => result.kind.as_str()).increment(1);
        Err(result)
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut redis = self
            .bounded(
                self.timeout,
                self.client.get_multiplexed_async_connection_with_config(&config),
            )
            .await?;
        let info = async {
            match redis::cmd("INFO").arg("server").query_async::<String>(&mut redis).await {
                // The run id stays unknown, and a restart of the server unseen.
                Err(error) if error.code() == Some("NOPERM") => Ok(String::new()),
                reply => reply,
            }
        };
        let info = self.bounded(self.timeout, info).await?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default();
        Ok(Connection { redis, run_id: run_id.into() })
    }

    /// Opens a connection of its own for one channel.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<Subscription, StoreError> {
        let opening = async {
            let mut pubsub = self.client.get_async_pubsub().await?;
            pubsub.subscribe(channel).await?;
            Ok(pubsub)
        };
        let pubsub = self.bounded(self.timeout, opening).await?;
        let messages =
            pubsub.into_on_message().map(|message| message.get_payload_bytes().to_vec().into());
        Ok(Subscription::new(messages.boxed()))
    }
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
        if let Some(open) = self.open.lock().clone() {
            return Ok(open);
        }
        let opened = self.server.connect().await?;
        *self.open.lock() = Some(opened.clone());
        Ok(opened)
    }

    /// Sends a request, and counts it; on any failure the connection is given up, so that the next
    /// request starts on a new one. A reply that comes late can then never be taken for another's.
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
        purpose.count();
        let result = self.server.bounded(limit, send(connection)).await;
        if result.is_err() {
            self.give_up();
        }
        result
    }
}
