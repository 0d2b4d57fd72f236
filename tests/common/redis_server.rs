use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use rustix::process::Signal;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, free_port};

/// How long a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A redis-server without persistence, on a port of its own.
pub struct RedisServer {
    pub port: u16,
    directory: TempDir,
    options: Vec<String>,
    process: Option<Process>,
    starts: usize,
}

impl RedisServer {
    pub async fn start() -> Self {
        Self::with_options(&[]).await
    }

    /// Starts it with more options, such as `["--requirepass", "secret"]`.
    pub async fn with_options(options: &[&str]) -> Self {
        // Somebody else may take the port between the look and the start: then it is another one.
        for _ in 0..5 {
            if let Some(server) = Self::try_with_options(options).await {
                return server;
            }
        }
        panic!("redis-server does not start with {options:?}");
    }

    /// `None` where it does not start, as when a port that is free now is taken meanwhile.
    pub async fn try_with_options(options: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: free_port(), directory, options, process: None, starts: 0 };
        server.launch().await;
        server.process.is_some().then_some(server)
    }

    /// Starts a replica of another, which has all that it has.
    pub async fn replicating(master: &Self) -> Self {
        let mut connection = master.connection().await;
        // Otherwise it waits for more replicas before it begins.
        let now = ["SET", "repl-diskless-sync-delay", "0"];
        let set: redis::RedisResult<()> =
            redis::cmd("CONFIG").arg(&now).query_async(&mut connection).await;
        set.expect("the setting is known");
        let port = master.port.to_string();
        let replica = Self::with_options(&["--replicaof", "127.0.0.1", &port]).await;
        eventually(Duration::from_secs(20), "the replica has the data", || async {
            let mut connection = replica.connection().await;
            let info: redis::RedisResult<String> =
                redis::cmd("INFO").arg("replication").query_async(&mut connection).await;
            info.ok()?.contains("master_link_status:up").then_some(())
        })
        .await;
        replica
    }

    async fn launch(&mut self) {
        self.starts += 1;
        let log = self.log();
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &self.port.to_string()])
            .args(["--dir", &self.directory.path().to_string_lossy()])
            .args(&self.options);
        let mut process = Process::start(&mut command, &log);
        let ready = eventually(Duration::from_secs(10), "redis-server is ready", || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let ready = text.contains("Ready to accept connections");
            let ended = !process.is_running();
            async move { (ready || ended).then_some(ready) }
        })
        .await;
        self.process = ready.then_some(process);
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join(format!("redis.{}.log", self.starts))
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once; all data are lost.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("redis-server runs");
        process.signal(Signal::KILL);
        process.ended(Duration::from_secs(5)).await;
    }

    /// Starts it again, empty, on the same port.
    pub async fn restart(&mut self) {
        self.launch().await;
        assert!(self.process.is_some(), "redis-server starts again on its port");
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("redis-server runs").signal(signal);
    }

    pub async fn connection(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).expect("a valid address");
        // A server that a test has paused may answer late.
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connection.expect("redis-server answers")
    }
}
