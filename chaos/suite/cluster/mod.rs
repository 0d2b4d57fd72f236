//! The real cluster of a run, in a network of its own.
//!
//! ```text
//!   this process, on the bridge 10.77.0.1: backend, readers, recorders, proxies, name server
//!        │ br0
//!   ┌────┴────┬─────────┬────── … ─┬──────────┐        a veth pair and a namespace each
//!   castor   pollux   helena     idas     redis-1 …    one process each
//! ```
//!
//! The process that starts a [`Cluster`] has namespaces of its own for networks, mounts and processes, so
//! that all this ends with it. [`network`] makes bridge and namespaces and loses packets by rules in
//! them, [`node`] is a process in one, and [`replica`] and [`redis`] are what runs there. [`limits`]
//! starves them, [`clock`] sets their clocks off, [`names`] serves names. [`standing`] tells who leads and
//! waits for that, [`settle`] for quiet, and [`facts`] records what processes say of themselves.
//!
//! Whatever waits does so for a condition, with a deadline; whatever breaks something shows that it is
//! broken, or fails.

mod clock;
mod command;
mod configuration;
mod facts;
mod limits;
mod names;
mod network;
mod node;
mod redis;
mod replica;
mod settle;
mod standing;
mod waiting;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use self::clock::ClockLibrary;
use self::configuration::{BACKEND_PORT, Role};
use self::names::Names;
use self::node::Node;
use crate::address::{self, GATEWAYS, POLLERS};
use crate::backend::{Backend, ENDPOINTS};
use crate::common::proxy::Proxy;
use crate::fault::Layout;
use crate::history::History;
use crate::readers::Readers;
use crate::recorder::Recorder;
use crate::run::{Endpoint, Outcome, Timing, Unknown};

pub(crate) use self::limits::remove_left;
pub(crate) use self::network::Network;
pub(crate) use self::redis::{Redis, Server};
pub(crate) use self::replica::Replica;

/// How long a replica may take to answer the harness.
const ANSWER: Duration = Duration::from_secs(2);

/// A cluster that runs: all that a scenario can break, and all that looks on.
pub(crate) struct Cluster {
    pub(crate) timing: Timing,
    pub(crate) seed: u64,
    pub(crate) history: History,
    pub(crate) backend: Backend,
    pub(crate) redis: Redis,
    pub(crate) pollers: Vec<Replica>,
    pub(crate) gateways: Vec<Replica>,
    pub(crate) readers: Readers,
    pub(crate) net: Network,
    layout: Layout,
    names: Option<Names>,
    recorders: Mutex<Vec<Recorder>>,
    sampling: JoinSet<()>,
}

/// A key of the cluster in Redis.
pub(crate) fn key(name: &str) -> String {
    format!("{{pollux:{}}}:{name}", configuration::CLUSTER)
}

impl Cluster {
    /// Starts everything, and waits until one leads whose crash would be seen, every endpoint is
    /// published, and every reader has all of them. History, logs and configurations go into `directory`.
    pub(crate) async fn start(
        layout: Layout,
        timing: Timing,
        seed: u64,
        directory: &Path,
        binary: &Path,
    ) -> Outcome<Self> {
        allow_many_files()?;
        fs::create_dir_all(directory)?;
        let directory = fs::canonicalize(directory)?;
        let binary = fs::canonicalize(binary)
            .map_err(|error| Unknown(format!("{}: {error}", binary.display())))?;
        let history = History::begin(&directory.join("history"))?;
        let net = Network::make(&nodes(layout)).await?;
        let clocks = match layout.clocks {
            true => Some(ClockLibrary::compile(&directory).await?),
            false => None,
        };
        let names = match layout.named {
            true => {
                let redis_of = |name: &str| configuration::redis_of(name, layout.proxied);
                Some(Names::serve(redis_of, &directory).await?)
            }
            false => None,
        };
        let redis = Redis::start(layout, &directory, &history, clocks.as_ref()).await?;
        let recorders = redis.servers().iter().map(|server| {
            let at = (server.address(), redis::PLAIN_PORT).into();
            Recorder::watch(&history, server.name(), at, redis.password())
        });
        let recorders = Mutex::new(recorders.collect());
        let backend = Backend::start(&history, (address::BACKEND, BACKEND_PORT).into())?;
        let building = Building { layout, timing, directory, binary, history, clocks };
        let pollers = building.replicas(&POLLERS, Role::Poller)?;
        let gateways = building.replicas(&GATEWAYS, Role::Gateway)?;
        let history = building.history;
        try_join_all(pollers.iter().chain(&gateways).map(Replica::start)).await?;
        let at: Vec<(&str, SocketAddr)> =
            gateways.iter().map(|gateway| (gateway.name(), gateway.gateway())).collect();
        let readers = Readers::start(&history, &at, &ENDPOINTS, seed, layout.crowd);
        let nodes = pollers.iter().chain(&gateways).map(|replica| Arc::clone(&replica.node));
        let mut sampling = JoinSet::new();
        sampling.spawn(facts::sample(nodes.collect(), history.clone()));
        let cluster = Self {
            timing,
            seed,
            history,
            backend,
            redis,
            pollers,
            gateways,
            readers,
            net,
            layout,
            names,
            recorders,
            sampling,
        };
        cluster.until_up().await?;
        Ok(cluster)
    }

    /// The replicas: all that poll, and all that serve.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Replica> {
        self.pollers.iter().chain(&self.gateways)
    }

    /// What is polled.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        configuration::endpoints()
    }

    /// After which time without a good check readers are told that an endpoint is stale.
    pub(crate) fn stale_after(&self) -> Duration {
        Duration::from_millis(configuration::STALE_AFTER_MS)
    }

    /// The name server, in a layout that is named.
    pub(crate) fn names(&self) -> Outcome<&Names> {
        let none = || Unknown("this layout has no name server".to_owned());
        self.names.as_ref().ok_or_else(none)
    }

    /// The addresses of all nodes but these.
    pub(crate) fn nodes_but(&self, names: &[&str]) -> Vec<Ipv4Addr> {
        let others = nodes(self.layout).into_iter().filter(|node| !names.contains(node));
        others.filter_map(address::of).collect()
    }

    /// Ends everything, readers first and Redis last. The history ends before replicas do.
    pub(crate) async fn stop(&mut self) -> Outcome<()> {
        self.readers.stop().await;
        let recorders = std::mem::take(&mut *self.recorders.lock());
        join_all(recorders.into_iter().map(Recorder::stop)).await;
        // What replicas do on their way out is polled and claimed unseen.
        self.history.close()?;
        self.sampling.shutdown().await;
        let leaving = self.replicas().filter(|replica| replica.is_running()).map(async |replica| {
            replica.wake().await?;
            // One whose last wish Redis cannot hear any more is as good when it is gone.
            if replica.terminate().await.is_err() && replica.is_running() {
                replica.kill().await?;
            }
            Ok(())
        });
        let left: Outcome<Vec<()>> = try_join_all(leaving).await;
        left?;
        self.redis.stop().await
    }
}

/// The names of all nodes.
fn nodes(layout: Layout) -> Vec<&'static str> {
    let (servers, sentinels) = redis::nodes(layout.redis);
    [&POLLERS[..], &GATEWAYS, servers, sentinels].concat()
}

/// What replicas are made of.
struct Building {
    layout: Layout,
    timing: Timing,
    directory: PathBuf,
    binary: PathBuf,
    history: History,
    clocks: Option<ClockLibrary>,
}

impl Building {
    /// Replicas with their files and proxies, which do not run yet.
    fn replicas(&self, names: &[&str], role: Role) -> Outcome<Vec<Replica>> {
        names.iter().map(|name| self.replica(name, role)).collect()
    }

    fn replica(&self, name: &str, role: Role) -> Outcome<Replica> {
        let Self { layout, timing, directory, binary, history, clocks } = self;
        let secrets = directory.join("secrets");
        let configuration = directory.join(format!("{name}.yaml"));
        fs::write(&configuration, configuration::yaml(name, role, layout, timing, &secrets))?;
        let path = if layout.proxied { Some(self.proxy_of(name)?) } else { None };
        Ok(Replica {
            node: Arc::new(Node::new(name, directory, history)?),
            role,
            binary: binary.clone(),
            configuration,
            path,
            clock: clocks.as_ref().map(|clocks| clocks.clock_of(name)).transpose()?,
            http: http()?,
            limits: Mutex::default(),
        })
    }

    fn proxy_of(&self, name: &str) -> Outcome<Proxy> {
        let port = if self.layout.guarded { redis::TLS_PORT } else { redis::PLAIN_PORT };
        let nobody = || Unknown(format!("{name} has no proxy"));
        let listen = address::of_proxy(name).ok_or_else(nobody)?;
        let server = network::of("redis-1")?;
        Ok(Proxy::between((listen, port).into(), (server, port).into(), listen.into())?)
    }
}

/// For replicas' admin servers. Each answer has a connection of its own: none is left to one that froze.
fn http() -> Outcome<reqwest::Client> {
    // An error means that it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).pool_max_idle_per_host(0);
    Ok(client.build()?)
}

/// Thousands of clients have a socket each in this process, and in a gateway's.
fn allow_many_files() -> Outcome<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?)
}
