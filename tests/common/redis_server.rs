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
        let directory = tempfile::tempdir().expect("a directory");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self { port: 0, directory, options, process: None, starts: 0 };
        // Somebody else may take the port between the look and the start: then it is another one.
        while server.process.is_none() {
            server.port = free_port();
            server.launch().await;
        }
        server
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
