//! Sentinels, and what they take for the master.

use std::fs;
use std::net::Ipv4Addr;

use super::{PLAIN_PORT, Redis, SENTINEL_PORT, Server, WITHIN};
use crate::cluster::waiting::holds;
use crate::run::{Outcome, Unknown};

/// The name under which the master is watched.
pub(crate) const MASTER: &str = "chaos";
const QUORUM: &str = "2";
/// Soon, so that failovers take no longer than leases.
const SETTINGS: [(&str, &str); 3] =
    [("down-after-milliseconds", "500"), ("failover-timeout", "3000"), ("parallel-syncs", "1")];

impl Server {
    /// Writes what a sentinel is told at its start. It notes there what it learns.
    pub(super) fn prepare_sentinel(&self, master: Ipv4Addr) -> Outcome<()> {
        let mut text = format!(
            "port {SENTINEL_PORT}\nprotected-mode no\ndir {}\n\
             sentinel monitor {MASTER} {master} {PLAIN_PORT} {QUORUM}\n",
            self.directory.display()
        );
        for (setting, value) in SETTINGS {
            text.push_str(&format!("sentinel {setting} {MASTER} {value}\n"));
        }
        fs::create_dir_all(&self.directory)?;
        Ok(fs::write(self.directory.join("sentinel.conf"), text)?)
    }

    /// Whom a sentinel takes for the master.
    async fn names(&self) -> Outcome<Ipv4Addr> {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
        let (address, _): (String, u16) = self.command(&words).await?;
        Ok(address.parse()?)
    }

    /// Whether a sentinel could replace the master: it knows the others, and a replica that is level.
    async fn could_replace(&self) -> Option<()> {
        let words = ["SENTINEL", "MASTER", MASTER];
        let known: std::collections::HashMap<String, String> = self.command(&words).await.ok()?;
        (known.get("num-other-sentinels")? == "2" && known.get("flags")? == "master")
            .then_some(())?;
        let words = ["SENTINEL", "REPLICAS", MASTER];
        let replicas: Vec<std::collections::HashMap<String, String>> =
            self.command(&words).await.ok()?;
        let mut links = replicas.iter().filter_map(|replica| replica.get("master-link-status"));
        links.any(|link| link == "ok").then_some(())
    }
}

impl Redis {
    /// Waits until the sentinels could replace the master.
    pub(super) async fn until_guarded_by_sentinels(&self) -> Outcome<()> {
        for sentinel in self.sentinels() {
            let what = format!("{} knows the others and a replica", sentinel.name());
            holds(WITHIN, &what, || sentinel.could_replace()).await?;
        }
        Ok(())
    }

    /// The server that most sentinels that answer take for the master.
    pub(super) async fn named_by_sentinels(&self) -> Outcome<&Server> {
        let answers = self.sentinels().iter().map(Server::names);
        let named: Vec<Ipv4Addr> =
            futures_util::future::join_all(answers).await.into_iter().flatten().collect();
        let votes = |server: &&Server| named.iter().filter(|at| **at == server.address()).count();
        let server = self.servers().iter().max_by_key(votes);
        let server = server.filter(|server| votes(server) > 0);
        server.ok_or_else(|| Unknown("no sentinel names a master".to_owned()))
    }

    /// Whether all sentinels take a server for the master, and it is one.
    pub(super) async fn is_named_by_all(&self, server: &Server) -> bool {
        for sentinel in self.sentinels() {
            if sentinel.names().await.ok() != Some(server.address()) {
                return false;
            }
        }
        server.is_master().await
    }

    /// Lets the sentinels take another server for the master, as it is: they reset no connection and
    /// reconfigure nobody.
    pub(crate) async fn proclaim(&self, server: &Server) -> Outcome<()> {
        let address = server.address().to_string();
        let port = PLAIN_PORT.to_string();
        for sentinel in self.sentinels() {
            let _: String = sentinel.command(&["SENTINEL", "REMOVE", MASTER]).await?;
            let watch = ["SENTINEL", "MONITOR", MASTER, &address, &port, QUORUM];
            let _: String = sentinel.command(&watch).await?;
            for (setting, value) in SETTINGS {
                let set = ["SENTINEL", "SET", MASTER, setting, value];
                let _: String = sentinel.command(&set).await?;
            }
        }
        self.until_primary(server).await
    }
}
