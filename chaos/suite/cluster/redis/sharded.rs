//! Redis Cluster: who owns the slot of the keys, and how it moves.

use super::{PLAIN_PORT, Redis, Server, WITHIN};
use crate::cluster::key;
use crate::cluster::waiting::holds;
use crate::run::{Outcome, Unknown};

/// A third of all slots each.
const SLOTS: [[&str; 2]; 3] = [["0", "5460"], ["5461", "10922"], ["10923", "16383"]];

impl Redis {
    /// Makes one cluster of all servers.
    pub(super) async fn assemble(&self) -> Outcome<()> {
        for (server, [first, last]) in self.servers().iter().zip(SLOTS) {
            let _: String = server.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await?;
        }
        let port = PLAIN_PORT.to_string();
        for server in &self.servers()[1..] {
            let meet = ["CLUSTER", "MEET", &server.address().to_string(), &port];
            let _: String = self.servers()[0].command(&meet).await?;
        }
        for server in self.servers() {
            let what = format!("{} sees the whole cluster", server.name());
            holds(WITHIN, &what, || async {
                let info: String = server.command(&["CLUSTER", "INFO"]).await.ok()?;
                let known = format!("cluster_known_nodes:{}\r", self.servers().len());
                (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())
            })
            .await?;
        }
        Ok(())
    }

    /// The server that owns the slot of the cluster's keys.
    pub(super) async fn owner(&self) -> Outcome<&Server> {
        for server in self.servers() {
            // Others answer MOVED.
            if server.command::<u64>(&["EXISTS", &key("leader")]).await.is_ok() {
                return Ok(server);
            }
        }
        Err(Unknown("no server owns the slot".to_owned()))
    }

    /// Moves the slot of the cluster's keys from one server to another, with all that it holds, as
    /// redis-cli does.
    pub(crate) async fn migrate(&self, from: &Server, to: &Server) -> Outcome<()> {
        let slot: u64 = from.command(&["CLUSTER", "KEYSLOT", &key("leader")]).await?;
        let slot = slot.to_string();
        let from_id: String = from.command(&["CLUSTER", "MYID"]).await?;
        let to_id: String = to.command(&["CLUSTER", "MYID"]).await?;
        let take = ["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id];
        let _: String = to.command(&take).await?;
        let give = ["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id];
        let _: String = from.command(&give).await?;
        let (address, port) = (to.address().to_string(), PLAIN_PORT.to_string());
        loop {
            let some = ["CLUSTER", "GETKEYSINSLOT", &slot, "100"];
            let keys: Vec<String> = from.command(&some).await?;
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", &address, &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            let _: String = from.command(&migrate).await?;
        }
        let others = self.servers().iter().filter(|server| {
            server.address() != from.address() && server.address() != to.address()
        });
        for server in [to, from].into_iter().chain(others) {
            let own = ["CLUSTER", "SETSLOT", &slot, "NODE", &to_id];
            let _: String = server.command(&own).await?;
        }
        Ok(())
    }
}
