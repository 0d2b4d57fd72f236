//! Redis as a layout has it: one server, a master with its replica and sentinels, or three masters.

mod guard;
pub(super) mod sentinel;
mod server;
mod sharded;

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;

use self::guard::Guard;
use super::clock::ClockLibrary;
use super::node::Node;
use super::waiting::holds;
use crate::address::{self, GATEWAYS, POLLERS};
use crate::fault::{Layout, RedisLayout};
use crate::history::History;
use crate::run::{Outcome, Unknown};

pub(crate) use self::server::Server;

pub(super) const PLAIN_PORT: u16 = 6379;
pub(super) const TLS_PORT: u16 = 6380;
pub(super) const SENTINEL_PORT: u16 = 26379;
/// Within which servers agree on something.
const WITHIN: Duration = Duration::from_secs(30);

/// All servers of a run.
pub(crate) struct Redis {
    layout: Layout,
    servers: Vec<Server>,
    sentinels: Vec<Server>,
    guard: Option<Guard>,
}

/// The nodes that a layout needs for Redis.
pub(super) fn nodes(layout: RedisLayout) -> (&'static [&'static str], &'static [&'static str]) {
    match layout {
        RedisLayout::Single => (&["redis-1"], &[]),
        RedisLayout::Sentinel => {
            (&["redis-1", "redis-2"], &["sentinel-1", "sentinel-2", "sentinel-3"])
        }
        RedisLayout::Cluster => (&["redis-1", "redis-2", "redis-3"], &[]),
    }
}

impl Redis {
    /// Starts all servers, and waits until they are what the layout says.
    pub(super) async fn start(
        layout: Layout,
        directory: &Path,
        history: &History,
        clocks: Option<&ClockLibrary>,
    ) -> Outcome<Self> {
        if layout.guarded && layout.redis != RedisLayout::Single {
            return Err(Unknown("only a single server is guarded".to_owned()));
        }
        let guard = layout.guarded.then(|| Guard::new(&directory.join("secrets"))).transpose()?;
        let (servers, sentinels) = nodes(layout.redis);
        let make = |name: &&str, port: u16, arguments: Vec<String>| -> Outcome<Server> {
            Ok(Server {
                node: Node::new(name, directory, history)?,
                port,
                directory: directory.join(name),
                arguments,
                password: layout.guarded.then_some(guard::OWN_PASSWORD),
                clock: clocks.map(|clocks| clocks.clock_of(name)).transpose()?,
                connection: Mutex::default(),
                sent: Mutex::default(),
            })
        };
        let servers = servers.iter().map(|name| {
            let own = guard.as_ref().map(Guard::arguments).transpose()?.unwrap_or_default();
            make(name, PLAIN_PORT, [own, arguments(name, layout.redis, directory)].concat())
        });
        let sentinels = sentinels.iter().map(|name| {
            let file = directory.join(name).join("sentinel.conf").display().to_string();
            make(name, SENTINEL_PORT, vec![file, "--sentinel".to_owned()])
        });
        let servers = servers.collect::<Outcome<Vec<Server>>>()?;
        let sentinels = sentinels.collect::<Outcome<Vec<Server>>>()?;
        let redis = Self { layout, servers, sentinels, guard };
        redis.start_all().await?;
        Ok(redis)
    }

    async fn start_all(&self) -> Outcome<()> {
        try_join_all(self.servers.iter().map(Server::start)).await?;
        match self.layout.redis {
            RedisLayout::Single => Ok(()),
            RedisLayout::Cluster => self.assemble().await,
            RedisLayout::Sentinel => {
                self.until_replica(&self.servers[1]).await?;
                for sentinel in &self.sentinels {
                    sentinel.prepare_sentinel(self.servers[0].address())?;
                }
                try_join_all(self.sentinels.iter().map(Server::start)).await?;
                self.until_guarded_by_sentinels().await
            }
        }
    }

    pub(crate) fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub(crate) fn sentinels(&self) -> &[Server] {
        &self.sentinels
    }

    /// The server that replicas should use: the one there is, the one that the sentinels name, or the
    /// one that owns the slot.
    pub(crate) async fn primary(&self) -> Outcome<&Server> {
        match self.layout.redis {
            RedisLayout::Single => Ok(&self.servers[0]),
            RedisLayout::Sentinel => self.named_by_sentinels().await,
            RedisLayout::Cluster => self.owner().await,
        }
    }

    /// Another server than this.
    pub(crate) fn other_than(&self, server: &Server) -> Outcome<&Server> {
        let other = self.servers.iter().find(|other| other.name() != server.name());
        other.ok_or_else(|| Unknown("there is one server alone".to_owned()))
    }

    /// Whatever replicas reach Redis by: all servers and sentinels, and the replicas' proxies.
    pub(crate) fn addresses(&self) -> Vec<Ipv4Addr> {
        let own = self.servers.iter().chain(&self.sentinels).map(Server::address);
        let replicas = POLLERS.iter().chain(&GATEWAYS).filter(|_| self.layout.proxied);
        own.chain(replicas.filter_map(|name| address::of_proxy(name))).collect()
    }

    /// Waits until a server is the one that replicas should use, and can be.
    pub(crate) async fn until_primary(&self, server: &Server) -> Outcome<()> {
        let what = format!("{} is the primary", server.name());
        holds(WITHIN, &what, || async {
            let is_primary = match self.layout.redis {
                RedisLayout::Sentinel => self.is_named_by_all(server).await,
                _ => self.primary().await.is_ok_and(|primary| primary.name() == server.name()),
            };
            is_primary.then_some(())
        })
        .await
    }

    /// Waits until a server is a replica, and has what its master has.
    pub(crate) async fn until_replica(&self, server: &Server) -> Outcome<()> {
        let what = format!("{} is a replica", server.name());
        holds(WITHIN, &what, || async { server.is_level_replica().await.then_some(()) }).await
    }

    /// The password for whoever looks on from outside.
    pub(super) fn password(&self) -> Option<&'static str> {
        self.guard.as_ref().map(|_| guard::OWN_PASSWORD)
    }

    pub(super) async fn stop(&self) -> Outcome<()> {
        try_join_all(self.sentinels.iter().chain(&self.servers).map(Server::stop)).await?;
        Ok(())
    }
}

fn arguments(name: &str, layout: RedisLayout, directory: &Path) -> Vec<String> {
    let (port, own) = (PLAIN_PORT.to_string(), directory.join(name).display().to_string());
    let mut words = vec!["--port", &port, "--dir", &own, "--save", "", "--appendonly", "no"];
    // All are in a network where nobody else is.
    words.extend(["--protected-mode", "no", "--enable-debug-command", "yes"]);
    // Otherwise it waits for more replicas before it begins.
    words.extend(["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]);
    let master = super::network::of("redis-1").map(|at| at.to_string()).unwrap_or_default();
    match layout {
        RedisLayout::Sentinel if name != "redis-1" => {
            words.extend(["--replicaof", &master, &port]);
        }
        RedisLayout::Cluster => words.extend(["--cluster-enabled", "yes"]),
        RedisLayout::Single | RedisLayout::Sentinel => {}
    }
    words.into_iter().map(str::to_owned).collect()
}
