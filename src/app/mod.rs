//! Puts the parts of one replica together, runs them, changes what is reconfigured, and drains them.

mod group;
mod reconfigure;
mod role;
mod running;

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use role::Role;

use crate::clock::Clock;
use crate::config::Config;
use crate::http::{self, BindError};
use crate::hub::Hub;
use crate::poller::FetcherError;
use crate::reload::Reloads;
use crate::store::{EmbeddedStore, RedisStore, Store};
use crate::telemetry::{Recorder, Traces};
use running::Running;

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
    config: Config,
    role: Role,
    store: Arc<dyn Store>,
    clock: Clock,
    recorder: Option<Recorder>,
    traces: Traces,
    hub: Option<Arc<Hub>>,
    gateway: Option<TcpListener>,
    admin: TcpListener,
    more_routes: Router,
    reloads: Option<Reloads>,
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
        config: Config,
        role: Role,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Result<Self, AppError> {
        let gateway = match role.serves() {
            true => Some(http::bind(config.gateway.listen, "gateway.listen").await?),
            false => None,
        };
        Ok(Self {
            admin: http::bind(config.admin.listen, "admin.listen").await?,
            hub: gateway.as_ref().map(|_| Hub::new(&config.endpoints)),
            gateway,
            config,
            role,
            store,
            clock,
            recorder: None,
            traces: Traces::default(),
            more_routes: Router::new(),
            reloads: None,
        })
    }

    /// Shows these metrics at `/metrics`.
    #[must_use]
    pub fn recording(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// Traces polls.
    #[must_use]
    pub fn tracing(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Serves more at the gateway's address.
    #[must_use]
    pub fn serving(self, more_routes: Router) -> Self {
        Self { more_routes, ..self }
    }

    /// Takes on the configurations that `reloads` brings.
    #[must_use]
    pub fn reloading(self, reloads: Reloads) -> Self {
        Self { reloads: Some(reloads), ..self }
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
    /// When polling cannot be set up, or when a part fails, which none does but by a defect.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), AppError> {
        let mut reloads = self.reloads.take();
        let refused = reloads.as_ref().map(Reloads::refused).unwrap_or_default();
        let mut running = Running::start(self, refused, &shutdown)?;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                ended = running.ended() => {
                    if shutdown.is_cancelled() {
                        break;
                    }
                    return Err(AppError::Part(match ended {
                        Ok(()) => "it ended".to_owned(),
                        Err(error) => error.to_string(),
                    }));
                }
                config = next(reloads.as_mut()) => tokio::select! {
                    biased;
                    // Whatever is under way then ends with all the rest.
                    () = shutdown.cancelled() => break,
                    outcome = running.reconfigure(config) => {
                        if let Some(reloads) = &reloads {
                            reloads.settle(outcome);
                        }
                    }
                },
            }
        }
        running.drain().await;
        Ok(())
    }
}

/// The next configuration to go on with; none ever where nothing is followed.
async fn next(reloads: Option<&mut Reloads>) -> Config {
    match reloads {
        Some(reloads) => reloads.next().await,
        None => pending().await,
    }
}
