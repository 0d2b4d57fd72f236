//! A redis-server or a sentinel.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use pollux::model::Version;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult};
use tokio::task::JoinSet;

use crate::cluster::clock::FakeClock;
use crate::cluster::key;
use crate::cluster::node::Node;
use crate::cluster::waiting::holds;
use crate::run::{Outcome, Unknown};

/// How long the harness waits for an answer: one that is frozen has none.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take to start.
const READY: Duration = Duration::from_secs(10);

/// A server, running or not.
pub(crate) struct Server {
    pub(super) node: Node,
    pub(super) port: u16,
    /// Its own directory. It may leave a dump there, which its next start does not see.
    pub(super) directory: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) password: Option<&'static str>,
    pub(super) clock: Option<FakeClock>,
    pub(super) connection: Mutex<Option<MultiplexedConnection>>,
    /// Commands whose answers nobody waits for.
    pub(super) sent: Mutex<JoinSet<()>>,
}

impl Server {
    pub(crate) fn name(&self) -> &str {
        &self.node.name
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.node.address
    }

    /// Asks for something, over a connection that stays open.
    ///
    /// # Errors
    /// An error that it answers with, or none within a second.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Outcome<T> {
        let told = |error| Unknown(format!("{}: {}: {error}", self.name(), words[0]));
        let known = self.connection.lock().clone();
        if let Some(connection) = known {
            match ask(connection, words).await {
                // The server has ended it since the last command; a new one is as good.
                Err(error) if error.is_connection_dropped() => *self.connection.lock() = None,
                answer => return answer.map_err(told),
            }
        }
        let connection = self.connect(Some(PATIENCE)).await.map_err(told)?;
        *self.connection.lock() = Some(connection.clone());
        ask(connection, words).await.map_err(told)
    }

    /// Asks for something that takes long, and does not wait.
    pub(crate) async fn send(&self, words: &[&str]) -> Outcome<()> {
        let connection = self.connect(None).await?;
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        self.sent.lock().spawn(async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            // What it answers, if it does, is not of interest.
            ask::<redis::Value>(connection, &words).await.ok();
        });
        Ok(())
    }

    async fn connect(&self, patience: Option<Duration>) -> RedisResult<MultiplexedConnection> {
        let secret = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        let client = Client::open(format!("redis://{secret}{}:{}", self.node.address, self.port))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(patience);
        client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Ends it with SIGKILL. All data are lost.
    pub(crate) async fn kill(&self) -> Outcome<()> {
        *self.connection.lock() = None;
        self.node.kill().await
    }

    /// Starts it, empty, and waits until it answers.
    pub(crate) async fn start(&self) -> Outcome<()> {
        fs::create_dir_all(&self.directory)?;
        fs::remove_file(self.directory.join("dump.rdb")).ok();
        self.start_with_its_dump().await
    }

    /// Starts it with what it has saved, and waits until it answers.
    pub(crate) async fn start_with_its_dump(&self) -> Outcome<()> {
        self.node.start("redis-server", |command| {
            command.args(&self.arguments);
            if let Some(clock) = &self.clock {
                clock.load(command);
            }
        })?;
        let what = format!("{} answers", self.name());
        holds(READY, &what, || async { self.command::<String>(&["PING"]).await.ok() }).await?;
        Ok(())
    }

    /// Freezes it with SIGSTOP.
    pub(crate) async fn freeze(&self) -> Outcome<()> {
        self.node.freeze().await
    }

    /// Lets it go on, with SIGCONT.
    pub(crate) async fn wake(&self) -> Outcome<()> {
        self.node.wake()
    }

    /// Its clocks, in a layout that can set them off.
    pub(crate) fn clock(&self) -> Outcome<&FakeClock> {
        self.clock.as_ref().ok_or_else(|| Unknown("this layout has right clocks alone".to_owned()))
    }

    /// The time by its clock, in ms.
    pub(crate) async fn time_ms(&self) -> Outcome<u64> {
        let (seconds, us): (u64, u64) = self.command(&["TIME"]).await?;
        Ok(seconds * 1000 + us / 1000)
    }

    /// A number or word that it tells of itself.
    pub(crate) async fn info(&self, section: &str, field: &str) -> Outcome<String> {
        let text: String = self.command(&["INFO", section]).await?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.map(str::to_owned).ok_or_else(|| Unknown(format!("INFO {section}: no {field}")))
    }

    /// How many connections it has accepted since its start.
    pub(crate) async fn connections_received(&self) -> Outcome<u64> {
        Ok(self.info("stats", "total_connections_received").await?.parse()?)
    }

    /// The ids of all its connections that are subscribed to something.
    pub(crate) async fn subscribers(&self) -> Outcome<Vec<u64>> {
        let list: String = self.command(&["CLIENT", "LIST", "TYPE", "pubsub"]).await?;
        let id = |line: &str| line.strip_prefix("id=")?.split(' ').next()?.parse().ok();
        Ok(list.lines().filter_map(id).collect())
    }

    /// The version of what was published last, by its record.
    pub(crate) async fn newest(&self) -> Outcome<Version> {
        let (term, sequence): (u64, u64) =
            self.command(&["HMGET", &key("leader"), "term", "sequence"]).await?;
        Ok(Version { term, sequence })
    }

    pub(super) async fn is_master(&self) -> bool {
        self.info("replication", "role").await.is_ok_and(|role| role == "master")
    }

    pub(super) async fn is_level_replica(&self) -> bool {
        let link = self.info("replication", "master_link_status").await;
        link.is_ok_and(|link| link == "up")
    }

    /// Asks it to end, or ends it.
    pub(super) async fn stop(&self) -> Outcome<()> {
        *self.connection.lock() = None;
        if !self.node.is_running() {
            return Ok(());
        }
        self.node.wake()?;
        if self.node.terminate(PATIENCE).await.is_err() {
            self.node.kill().await?;
        }
        Ok(())
    }
}

async fn ask<T: FromRedisValue>(
    mut connection: MultiplexedConnection,
    words: &[&str],
) -> RedisResult<T> {
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
}
