//! `pollux demo`: a cluster in one process, with a page to watch it and a way to crash its leader.
//!
//! A sample backend changes its data, three replicas compete for polling it, one gateway serves
//! what the leader publishes, and simulated readers follow it. All of it is the code of
//! `pollux run` over loopback, but for the store, which is the embedded one.

mod backend;
mod cluster;
mod guard;
mod history;
mod open_files;
mod page;
mod rate;
mod readers;
mod replicas;
mod sample;
mod state;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError, Role};
use crate::clock::Clock;
use crate::http::{self, BindError};
use crate::hub::Hub;
use crate::model::InvalidName;
use crate::store::EmbeddedStore;
pub use backend::SampleBackend;

use backend::Backend;
use readers::Readers;
use replicas::Replicas;
use state::Observer;

/// How many simulated clients read at the start.
const READERS: usize = 100;
/// How long what supports the cluster may take to end after it.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The page's address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A replica or the gateway failed.
    #[error(transparent)]
    App(#[from] AppError),
    /// The system does not tell a socket's address.
    #[error("cannot tell where the demo listens: {0}")]
    Address(#[from] std::io::Error),
    /// An endpoint of the demo has a name that is none.
    #[error("an endpoint of the demo: {0}")]
    Name(#[from] InvalidName),
    /// An endpoint of the demo has an address that is none.
    #[error("an endpoint of the demo: {0}")]
    Url(#[from] url::ParseError),
    /// A part ended that never ends by itself.
    #[error("a part of the demo failed: {0}")]
    Part(#[from] JoinError),
}

/// The demo, with its ports open, ready to run.
pub struct Demo {
    address: SocketAddr,
    gateway: App,
    backend: Arc<Backend>,
    backend_listener: TcpListener,
    replicas: Arc<Replicas>,
    readers: Arc<Readers>,
    observer: Observer,
    shutdown: CancellationToken,
}

impl Demo {
    /// Opens the page's port on this machine alone; 0 stands for any free one. What runs on it
    /// ends with `shutdown`.
    ///
    /// # Errors
    /// When the port cannot be listened on, as a rule because another program does.
    pub async fn open(port: u16, shutdown: CancellationToken) -> Result<Self, DemoError> {
        let store = EmbeddedStore::new();
        let backend = Arc::new(Backend::new());
        let backend_listener = http::bind(cluster::ANY_PORT, "the demo").await?;
        let endpoints = cluster::endpoints(backend_listener.local_addr()?)?;
        let every: Vec<Duration> = endpoints.iter().map(|endpoint| endpoint.every).collect();

        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let config = cluster::config(cluster::GATEWAY, listen, endpoints.clone())?;
        let gateway =
            App::with_store(config, Role::Gateway, Arc::new(store.clone()), Clock::Process)
                .await
                .map_err(naming_port)?;
        let address = gateway.gateway_address().unwrap_or(listen);
        let hub = gateway.hub().unwrap_or_else(|| Hub::new(&endpoints));

        let names = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        let readers = Readers::new(address, names, open_files::room_for_readers());
        let readers = Arc::new(readers.starting_with(READERS));
        let replicas = Arc::new(Replicas::new(store.clone(), endpoints)?);
        let observer = Observer::new(
            store,
            hub,
            Arc::clone(&backend),
            Arc::clone(&replicas),
            Arc::clone(&readers),
            &every,
        );
        let page = page::router(page::PageState {
            replicas: Arc::clone(&replicas),
            readers: Arc::clone(&readers),
            states: observer.subscribe(),
            leaving: shutdown.clone(),
        });
        let gateway = gateway.serving(page);
        Ok(Self {
            address,
            gateway,
            backend,
            backend_listener,
            replicas,
            readers,
            observer,
            shutdown,
        })
    }

    /// Where the page is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until the shutdown; then everything ends, the backend last, so that no poll fails.
    ///
    /// # Errors
    /// When a part fails, which none does but by a defect.
    pub async fn run(self) -> Result<(), DemoError> {
        let polled = CancellationToken::new();
        let mut supports = JoinSet::new();
        let routes = backend::router(Arc::clone(&self.backend));
        supports.spawn(http::serve(self.backend_listener, routes, FAREWELL, polled.clone()));
        let (backend, changing) = (self.backend, polled.clone());
        supports.spawn(async move { backend.change(changing).await });
        supports.spawn(self.observer.run(polled.clone()));

        let mut cluster = JoinSet::new();
        cluster.spawn(self.gateway.run(self.shutdown.clone()));
        self.replicas.start(&mut cluster, &self.shutdown);
        let (readers, reading) = (self.readers, self.shutdown);
        cluster.spawn(async move {
            readers.run(reading).await;
            Ok(())
        });
        while let Some(ended) = cluster.join_next().await {
            ended??;
        }
        polled.cancel();
        timeout(FAREWELL, async { while supports.join_next().await.is_some() {} }).await.ok();
        Ok(())
    }
}

/// The gateway's address comes from the command line here.
fn naming_port(error: AppError) -> DemoError {
    match error {
        AppError::Bind(error) => DemoError::Bind(error.set_by("--port")),
        other => DemoError::App(other),
    }
}
