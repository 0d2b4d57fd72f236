use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use redis::{Client, FromRedisValue};
use tempfile::TempDir;

use super::process::Process;
use super::redis_server::RedisServer;
use super::tls_server::TlsServer;
use super::{eventually, free_port};

/// The name under which the master is watched.
pub const MASTER: &str = "mymaster";

/// A Sentinel that decides alone, and within a second.
pub struct Sentinel {
    pub port: u16,
    _directory: TempDir,
    _process: Process,
}

/// A master, its replica, and the Sentinel that could replace one by the other.
pub async fn replicated() -> (RedisServer, RedisServer, Sentinel) {
    let master = RedisServer::start().await;
    let replica = RedisServer::replicating(&master).await;
    let sentinel = Sentinel::watching(&master).await;
    sentinel.knows_a_replica().await;
    (master, replica, sentinel)
}

impl Sentinel {
    pub async fn watching(server: &RedisServer) -> Self {
        Self::with_settings(server, "").await
    }

    /// The same with more lines of its configuration.
    pub async fn with_settings(server: &RedisServer, settings: &str) -> Self {
        Self::start(server.port, |port| format!("port {port}\n{settings}")).await
    }

    /// Asks its clients for certificates as the server does.
    pub async fn over_tls(server: &TlsServer) -> Self {
        let path = |name| server.files.path(name).display().to_string();
        let [ca, cert, key] = ["ca", "cert", "key"].map(path);
        let settings = |port| {
            format!(
                "port 0\ntls-port {port}\ntls-replication yes\ntls-ca-cert-file {ca}\n\
                 tls-cert-file {cert}\ntls-key-file {key}\n"
            )
        };
        Self::start(server.port, settings).await
    }

    async fn start(watched: u16, settings: impl Fn(u16) -> String) -> Self {
        loop {
            let port = free_port();
            if let Some(sentinel) = Self::try_start(port, watched, &settings(port)).await {
                return sentinel;
            }
        }
    }

    /// `None`: somebody else has taken the port meanwhile.
    async fn try_start(port: u16, watched: u16, settings: &str) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, log) = (directory.path().join("sentinel.conf"), directory.path().join("log"));
        let configuration = format!(
            "bind 127.0.0.1\ndir {}\n\
             sentinel monitor {MASTER} 127.0.0.1 {watched} 1\n\
             sentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 3000\n{settings}\n",
            directory.path().display()
        );
        std::fs::write(&file, configuration).expect("a configuration");
        let mut command = Command::new("redis-server");
        let mut process = Process::start(command.arg(&file).arg("--sentinel"), &log);
        let ready = eventually(Duration::from_secs(10), "Sentinel is ready", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let ready = text.contains("+monitor");
            let ended = !process.is_running();
            async move { (ready || ended).then_some(ready) }
        })
        .await;
        ready.then_some(Self { port, _directory: directory, _process: process })
    }

    /// Asks it for something.
    pub async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let client = Client::open(format!("redis://127.0.0.1:{}", self.port)).expect("an address");
        let mut connection =
            client.get_multiplexed_async_connection().await.expect("Sentinel answers");
        let mut command = redis::cmd("SENTINEL");
        command.arg(words).query_async(&mut connection).await.expect("an answer")
    }

    /// The port of the server that it takes for the master.
    pub async fn master(&self) -> u16 {
        let (_, port): (String, u16) = self.ask(&["GET-MASTER-ADDR-BY-NAME", MASTER]).await;
        port
    }

    /// Waits until it could replace the master.
    pub async fn knows_a_replica(&self) {
        eventually(Duration::from_secs(30), "Sentinel knows a replica", || async {
            let replicas: Vec<HashMap<String, String>> = self.ask(&["REPLICAS", MASTER]).await;
            let usable = |replica: &HashMap<String, String>| {
                replica["flags"] == "slave" && replica["master-link-status"] == "ok"
            };
            replicas.iter().any(usable).then_some(())
        })
        .await;
    }

    /// Waits until it names the server on `port`.
    pub async fn names(&self, port: u16) {
        eventually(Duration::from_secs(30), "Sentinel names another master", || async {
            (self.master().await == port).then_some(())
        })
        .await;
    }
}
