use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use url::Url;

use super::tls::TlsConfig;
use super::traces::TracesConfig;
use crate::model::{ClusterName, EndpointName};

/// A configuration that has been checked: every value is in its range, and all fit together.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name that replicas and gateways share.
    pub cluster: ClusterName,
    /// This replica's name.
    pub replica: String,
    /// The address at which others reach this replica's admin server, such as
    /// `http://10.1.2.3:9090`.
    pub address: String,
    /// Where Redis is; `None` for the embedded store.
    pub redis: Option<RedisConfig>,
    /// The lease's timings.
    pub lease: LeaseConfig,
    /// How many publications the history keeps; 0: there is none.
    pub history: u64,
    /// What is polled; names are unique.
    pub endpoints: Vec<EndpointConfig>,
    /// The server for clients.
    pub gateway: GatewayConfig,
    /// The server for operators.
    pub admin: AdminConfig,
    /// Where the traces of polls go; `None`: there are none.
    pub traces: Option<TracesConfig>,
    /// How long a replica may take to leave.
    pub drain: Duration,
}

/// Where Redis is and how to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisConfig {
    /// Where it is.
    pub place: RedisPlace,
    /// The ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// How connections are encrypted, those to Sentinel too; `None`: they are not.
    pub tls: Option<TlsConfig>,
    /// How long to wait for a connection or an answer.
    pub timeout: Duration,
}

/// Where the one server is that holds a cluster's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// At a known address.
    Server {
        /// The server's address.
        address: ServerAddress,
        /// The number of the database.
        database: u32,
    },
    /// Where Sentinel says that the master is.
    Sentinel {
        /// The name under which Sentinel watches it.
        master: String,
        /// The sentinels to ask; at least one.
        nodes: Vec<ServerAddress>,
    },
    /// At the owner of the keys' slot in a Redis Cluster.
    Cluster {
        /// The servers to ask for it; at least one.
        nodes: Vec<ServerAddress>,
    },
}

/// A host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        match host.contains(':') {
            true => write!(formatter, "[{host}]:{port}"),
            false => write!(formatter, "{host}:{port}"),
        }
    }
}

/// For people: where it is, without credentials.
impl fmt::Display for RedisConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |nodes: &[ServerAddress]| {
            let nodes: Vec<String> = nodes.iter().map(ServerAddress::to_string).collect();
            nodes.join(", ")
        };
        let with_tls = if self.tls.is_some() { " over TLS" } else { "" };
        match &self.place {
            RedisPlace::Server { address, database } => {
                let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
                write!(formatter, "{scheme}://{address}/{database}")
            }
            RedisPlace::Sentinel { master, nodes } => {
                write!(formatter, "master {master} of Sentinel at {}{with_tls}", listed(nodes))
            }
            RedisPlace::Cluster { nodes } => {
                write!(formatter, "Cluster at {}{with_tls}", listed(nodes))
            }
        }
    }
}

/// The lease's timings, in the words of Kubernetes' client-go: `retry_period < renew_deadline <
/// duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// How long the lease lasts when nobody renews it.
    pub duration: Duration,
    /// For how long a leader tries again to renew before it stops.
    pub renew_deadline: Duration,
    /// How often the leader renews.
    pub retry_period: Duration,
    /// How often a standby asks whether the leader still lives; `None`: never.
    pub crash_probe: Option<Duration>,
}

impl LeaseConfig {
    /// How long after it sent a renewal that succeeded a leader goes on without another: until the
    /// next one, a retry period later, has been tried for the renew deadline. Never so long that the
    /// lease might have ended: half of what is between the deadline and the duration is left.
    pub fn confirmed_for(&self) -> Duration {
        let latest = (self.renew_deadline + self.duration) / 2;
        (self.retry_period + self.renew_deadline).min(latest)
    }
}

/// A crash is seen at once, a lost machine is replaced after six seconds, and a stall of Redis below
/// four costs nothing.
impl Default for LeaseConfig {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(6),
            renew_deadline: Duration::from_secs(4),
            retry_period: Duration::from_secs(1),
            crash_probe: Some(Duration::from_millis(100)),
        }
    }
}

/// What is polled, and how.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// The name under which it is published.
    pub name: EndpointName,
    /// What is fetched; http or https.
    pub url: Url,
    /// The interval from one poll to the next.
    pub every: Duration,
    /// The most time for a whole poll, the body included.
    pub timeout: Duration,
    /// The most time to connect.
    pub connect_timeout: Duration,
    /// The largest body, in bytes after decompression.
    pub max_body: u64,
    /// The age from which the snapshot is called stale.
    pub stale_after: Duration,
    /// Headers of the request, whose values may be secrets.
    pub headers: Vec<(String, Secret)>,
    /// What an answer must be to count as good.
    pub expect: Expectation,
}

impl EndpointConfig {
    /// The URL for people: without user and password, and with `…` in place of the query, where
    /// keys often stand.
    pub fn shown_url(&self) -> String {
        let (scheme, path) = (self.url.scheme(), self.url.path());
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port().map(|port| format!(":{port}"));
        let query = self.url.query().map_or("", |_| "?…");
        format!("{scheme}://{host}{}{path}{query}", port.unwrap_or_default())
    }
}

/// Like the derived one, but for the URL, which may hold secrets.
impl fmt::Debug for EndpointConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("url", &self.shown_url())
            .field("every", &self.every)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_body", &self.max_body)
            .field("stale_after", &self.stale_after)
            .field("headers", &self.headers)
            .field("expect", &self.expect)
            .finish()
    }
}

/// What an answer must be, beside a 2xx, to count as good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expectation {
    /// JSON in UTF-8, whatever its content type says.
    #[default]
    Json,
    /// One of these media types, such as `text/csv` or `image/*`; the body may be anything.
    ContentType(Vec<String>),
}

/// The server for clients.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How many streams it serves at once.
    pub max_streams: usize,
}

/// The server for operators.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What a request that changes something must carry as its bearer token; `None`: such requests
    /// are taken from this machine alone.
    pub token: Option<Secret>,
}

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// Whether `text` is the value, in a time that does not tell how much of it is right.
    pub fn is(&self, text: &str) -> bool {
        let (value, text) = (self.0.as_bytes(), text.as_bytes());
        let differing = value.iter().zip(text).fold(0, |all, (one, other)| all | (one ^ other));
        value.len() == text.len() && differing == 0
    }

    /// The value, for the request or connection it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}
