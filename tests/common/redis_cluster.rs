use std::time::Duration;

use redis::FromRedisValue;

use super::eventually;
use super::redis_server::RedisServer;

/// A Redis Cluster of three masters.
pub struct RedisCluster {
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    pub async fn start() -> Self {
        let mut servers = Vec::new();
        for slots in [["0", "5000"], ["5001", "11000"], ["11001", "16383"]] {
            let server = RedisServer::with_options(&["--cluster-enabled", "yes"]).await;
            let _: String = ask(&server, &["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]).await;
            servers.push(server);
        }
        let cluster = Self { servers };
        for server in &cluster.servers[1..] {
            cluster.meet(server).await;
        }
        cluster.is_whole().await;
        cluster
    }

    /// Lets a server join.
    async fn meet(&self, server: &RedisServer) {
        let port = server.port.to_string();
        let _: String = ask(&self.servers[0], &["CLUSTER", "MEET", "127.0.0.1", &port]).await;
    }

    /// Adds a replica of the server at `index`.
    pub async fn add_replica(&mut self, index: usize) {
        let replica = RedisServer::with_options(&["--cluster-enabled", "yes"]).await;
        self.meet(&replica).await;
        let master = id(&self.servers[index]).await;
        eventually(Duration::from_secs(20), "the replica knows its master", || async {
            let mut connection = replica.connection().await;
            let mut command = redis::cmd("CLUSTER");
            let reply = command.arg(&["REPLICATE", &*master]).query_async(&mut connection).await;
            reply.ok().map(|_: String| ())
        })
        .await;
        eventually(Duration::from_secs(20), "the replica has the data", || async {
            let info: String = ask(&replica, &["INFO", "replication"]).await;
            info.contains("master_link_status:up").then_some(())
        })
        .await;
        self.servers.push(replica);
        self.is_whole().await;
    }

    async fn is_whole(&self) {
        for server in &self.servers {
            eventually(Duration::from_secs(20), "the cluster is whole", || async {
                let info: String = ask(server, &["CLUSTER", "INFO"]).await;
                let known = format!("cluster_known_nodes:{}\r", self.servers.len());
                (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())
            })
            .await;
        }
    }

    /// The index of the server that owns a key's slot.
    pub async fn owner(&self, key: &str) -> usize {
        for (index, server) in self.servers.iter().enumerate() {
            let mut connection = server.connection().await;
            let owns: redis::RedisResult<u64> =
                redis::cmd("EXISTS").arg(key).query_async(&mut connection).await;
            if owns.is_ok() {
                return index;
            }
        }
        panic!("no server owns {key}");
    }

    /// Moves the slot of a key from one server to another, with all that it holds. Others than
    /// these two hear of it later.
    pub async fn migrate(&self, key: &str, from: usize, to: usize) {
        let (from, to) = (&self.servers[from], &self.servers[to]);
        let slot: u64 = ask(from, &["CLUSTER", "KEYSLOT", key]).await;
        let slot = slot.to_string();
        let (from_id, to_id) = (id(from).await, id(to).await);
        let _: String = ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]).await;
        let _: String = ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]).await;
        let keys: Vec<String> = ask(from, &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]).await;
        let port = to.port.to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        migrate.extend(keys.iter().map(String::as_str));
        let _: String = ask(from, &migrate).await;
        for server in [to, from] {
            let _: String = ask(server, &["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]).await;
        }
    }
}

async fn id(server: &RedisServer) -> String {
    ask(server, &["CLUSTER", "MYID"]).await
}

async fn ask<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut connection = server.connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.expect("an answer")
}
