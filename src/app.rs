//! Puts the parts of one replica together, runs them, and drains them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::admin::{self, AdminState, LeaderPolls, Viewers};
use crate::clock::Clock;
use crate::config::Config;
use crate::election::{Elector, Identity};
use crate::gateway::{self, GatewayState};
use crate::http::{self, BindError};
use crate::hub::Hub;
use crate::poller::{Fetcher, FetcherError, Journal, Poller, Reachability};
use crate::preflight;
use crate::presence::Attendance;
use crate::store::{EmbeddedStore, Presence, RedisStore, Store};
use crate::telemetry::{Recorder, UPKEEP};

/// How long clients may take to fetch what they have been sent once the replica leaves: one that
/// does not read would otherwise take the whole drain time.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// How long those who look at the page may take for the end of their streams.
const LAST_GLANCE: Duration = Duration::from_millis(200);

/// What a replica does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Competes for the lease, and polls while it holds it.
    Poller,
    /// Serves clients.
    Gateway,
    /// Both.
    #[default]
    All,
}

impl Role {
    /// The name on the command line and in presences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Gateway => "gateway",
            Self::All => "all",
        }
    }

    /// Whether it competes for the lease.
    pub fn polls(self) -> bool {
        self != Self::Gateway
    }

    fn serves(self) -> bool {
        self != Self::Poller
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Poller, Self::Gateway, Self::All]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| "expected poller, gateway or all".to_owned())
    }
}

/// Prepares the store that a configuration names; and the clock by which it ends leases. Whether it
/// answers is not tried.
pub fn open_store(config: &Config) -> (Arc<dyn Store>, Clock) {
    match &config.redis {
        Some(redis) => (Arc::new(RedisStore::new(&config.cluster, redis)), Clock::Boot),
        None => (Arc::new(EmbeddedStore::new()), Clock::Process),
    }
}

/// Why a replica could not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Polling cannot be set up.
    #[error(transparent)]
    Fetcher(#[from] FetcherError),
    /// A part ended that never ends by itself.
    #[error("a part of the replica failed, and the replica with it: {0}")]
    Part(String),
}

/// One replica, ready to run.
pub struct App {
    config: Arc<Config>,
    role: Role,
    store: Arc<dyn Store>,
    clock: Clock,
    recorder: Option<Recorder>,
    hub: Option<Arc<Hub>>,
    gateway: Option<TcpListener>,
    admin: TcpListener,
    more_routes: Router,
}

impl App {
    /// Opens the store that the configuration names, and the ports.
    ///
    /// # Errors
    /// When an address cannot be used. A store that does not answer is no error: the replica waits
    /// for it.
    pub async fn new(config: Config, role: Role) -> Result<Self, AppError> {
        let (store, clock) = open_store(&config);
        if config.redis.is_none() {
            tracing::warn!(
                "no redis is configured: the embedded store serves this process alone, \
                 without redundancy; set redis to run replicas"
            );
        }
        Self::with_store(config, role, store, clock).await
    }

    /// The same with a store that is there already, and the clock by which it ends leases.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub async fn with_store(
        mut config: Config,
        role: Role,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, AppError> {
        let gateway = match role.serves() {
            true => Some(http::bind(config.gateway.listen, "gateway.listen").await?),
            false => None,
        };
        let admin = http::bind(config.admin.listen, "admin.listen").await?;
        if let Ok(bound) = admin.local_addr() {
            config.address = with_port(&config.address, bound.port());
        }
        Ok(Self {
            admin,
            hub: gateway.as_ref().map(|_| Hub::new(&config.endpoints)),
            gateway,
            config: Arc::new(config),
            role,
            store,
            clock,
            recorder: None,
            more_routes: Router::new(),
        })
    }

    /// Shows these metrics at `/metrics`.
    #[must_use]
    pub fn recording(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Serves more at the gateway's address.
    #[must_use]
    pub fn serving(self, more_routes: Router) -> Self {
        Self { more_routes, ..self }
    }

    /// The gateway's snapshots, on a replica that serves.
    pub fn hub(&self) -> Option<Arc<Hub>> {
        self.hub.clone()
    }

    /// Where the gateway listens, on a replica that serves.
    pub fn gateway_address(&self) -> Option<SocketAddr> {
        self.gateway.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Runs until `shutdown`; then hands over, ends streams, and returns within the drain time.
    ///
    /// # Errors
    /// When a part fails, which none does but by a defect.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), AppError> {
        let drain = self.config.drain;
        let drained = CancellationToken::new();
        let mut admin = JoinSet::new();
        let mut parts = self.start(&mut admin, &shutdown, &drained)?;
        let failed = tokio::select! {
            () = shutdown.cancelled() => None,
            Some(ended) = parts.join_next() => Some(ended),
            Some(ended) = admin.join_next() => Some(ended),
        };
        if let Some(ended) = failed
            && !shutdown.is_cancelled()
        {
            return Err(AppError::Part(why(ended)));
        }
        tracing::info!("leaving: handing over and ending streams");
        let deadline = Instant::now() + drain;
        let all = async { while parts.join_next().await.is_some() {} };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(?drain, "not done within the drain time: leaving anyway");
        }
        // Last of all, so that probes and metrics are answered until the end.
        drained.cancel();
        timeout_at(deadline, async { while admin.join_next().await.is_some() {} }).await.ok();
        tracing::info!("left");
        Ok(())
    }

    fn start(
        self,
        admin: &mut JoinSet<()>,
        shutdown: &CancellationToken,
        drained: &CancellationToken,
    ) -> Result<JoinSet<()>, AppError> {
        let mut parts = JoinSet::new();
        self.announce_start();
        let (endpoint, polls) = (self.config.endpoints[0].name.clone(), self.role.polls());
        parts.spawn(preflight::keep(Arc::clone(&self.store), endpoint, polls, shutdown.clone()));

        let mut election = None;
        let journal = self.role.polls().then(|| Arc::new(Journal::default()));
        if let Some(journal) = &journal {
            let elector = self.elector(Arc::clone(journal), shutdown.clone())?;
            election = Some(elector.view());
            parts.spawn(elector.run());
        }
        let attendance =
            Attendance::new(Arc::clone(&self.store), self.presence(), election.clone())
                .counting(self.hub.clone(), journal.clone());
        let reachability = self.role.polls().then(|| Reachability::new(&self.config.endpoints));
        parts.spawn(attendance.keep(reachability, shutdown.clone()));
        if let (Some(hub), Some(listener)) = (&self.hub, self.gateway) {
            let (store, hub) = (Arc::clone(&self.store), Arc::clone(hub));
            let state = GatewayState::new(
                Arc::clone(&hub),
                self.config.gateway.max_streams,
                shutdown.clone(),
            );
            let routes = gateway::router(state).merge(self.more_routes);
            let grace = self.config.drain.min(LAST_BYTES);
            parts.spawn(http::serve(listener, routes, grace, shutdown.clone()));
            let following = shutdown.clone();
            parts.spawn(async move { hub.follow(store, following).await });
        }
        if let Some(recorder) = self.recorder.clone() {
            parts.spawn(keep_tidy(recorder, shutdown.clone()));
        }
        let state = AdminState {
            config: self.config,
            store: self.store,
            election,
            hub: self.hub,
            journal,
            leader_polls: LeaderPolls::new(),
            viewers: Viewers::until(drained.clone()),
            recorder: self.recorder,
            leaving: shutdown.clone(),
        };
        let routes = admin::router(state.clone());
        admin.spawn(admin::inform_viewers(state));
        admin.spawn(http::serve(self.admin, routes, LAST_GLANCE, drained.clone()));
        Ok(parts)
    }

    fn elector(
        &self,
        journal: Arc<Journal>,
        shutdown: CancellationToken,
    ) -> Result<Elector<Poller>, AppError> {
        let config = &self.config;
        let fetcher = Fetcher::new(&config.endpoints)?;
        let poller = Poller::new(
            Arc::clone(&self.store),
            fetcher,
            config.cluster.clone(),
            &config.endpoints,
            config.history,
        )
        .recording(journal);
        let identity =
            Identity { replica: config.replica.clone(), address: config.address.clone() };
        let store = Arc::clone(&self.store);
        Ok(Elector::new(store, self.clock, config.lease, identity, poller, shutdown))
    }

    fn presence(&self) -> Presence {
        Presence {
            replica: self.config.replica.clone(),
            address: self.config.address.clone(),
            role: self.role.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Presence::default()
        }
    }

    fn announce_start(&self) {
        let address = |listener: &TcpListener| listener.local_addr().map(|at| at.to_string()).ok();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            cluster = %self.config.cluster,
            replica = self.config.replica,
            role = %self.role,
            endpoints = self.config.endpoints.len(),
            gateway = self.gateway.as_ref().and_then(address),
            admin = address(&self.admin),
            "pollux starts"
        );
    }
}

/// An address that names port 0, which any free one was taken for, with that one instead.
fn with_port(address: &str, bound: u16) -> String {
    match address.strip_suffix(":0") {
        Some(host) => format!("{host}:{bound}"),
        None => address.to_owned(),
    }
}

fn why(ended: Result<(), JoinError>) -> String {
    match ended {
        Ok(()) => "it ended".to_owned(),
        Err(error) => error.to_string(),
    }
}

async fn keep_tidy(recorder: Recorder, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(sleep(UPKEEP)).await.is_some() {
        recorder.upkeep();
    }
}
