//! What Pollux is compared with, each as a process of its own: this program, started anew with
//! [`ARGUMENT`].
//!
//! - `rslock`: as its README and its documentation show it, with its default retries. `acquire`,
//!   then `extend` at a third of the lease until one fails, `release` at the end and on SIGTERM.
//! - `set-nx`: a plain loop of `SET NX PX` and a compare-and-`PEXPIRE`, with the timings of
//!   Kubernetes' client-go (`tools/leaderelection`: 15 s, 10 s, 2 s, jitter 1.2) scaled to the
//!   lease. As by default there, nothing is released on SIGTERM. Unlike there, a leader that is
//!   told that the lock is another's stops at once, not at its deadline: in favour of the loop.
//!
//! Both poll while they renew, as a program does that works in one task and renews in another.

use std::process::Command;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, Script};
use rslock::{Lock, LockManager};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout_at};

use super::common::http;

/// The first argument that makes this program a candidate.
pub(crate) const ARGUMENT: &str = "--candidate";

/// How often the backend is polled.
pub(crate) const EVERY: Duration = Duration::from_millis(20);
/// The longest that a poll may take.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);

/// client-go's defaults, as shares of its lease duration of 15 s.
const RENEW_DEADLINE: f64 = 10.0 / 15.0;
pub(crate) const RETRY_PERIOD: f64 = 2.0 / 15.0;
/// client-go waits between one and `1 + JITTER` retry periods before it tries for a lease again.
const JITTER: f64 = 1.2;

const RENEW: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])";

/// A candidate's part of the command line.
pub(crate) struct Candidate {
    /// `rslock` or `set-nx`.
    pub kind: String,
    /// The URL of Redis.
    pub redis: String,
    /// The lock's key.
    pub key: String,
    pub lease: Duration,
    /// The URL to poll.
    pub backend: String,
}

impl Candidate {
    /// The command that starts it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        let lease = self.lease.as_millis().to_string();
        command.args([ARGUMENT, &self.kind, &self.redis, &self.key, &lease, &self.backend]);
        command
    }

    /// Reads what comes after [`ARGUMENT`].
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Self {
        let mut next = || arguments.next().expect("a candidate's arguments");
        let (kind, redis, key) = (next(), next(), next());
        let lease = Duration::from_millis(next().parse().expect("the lease, in ms"));
        Self { kind, redis, key, lease, backend: next() }
    }

    /// Stands by and leads in turn, until a signal.
    pub(crate) async fn run(self) {
        match self.kind.as_str() {
            "rslock" => self.rslock().await,
            "set-nx" => self.set_nx().await,
            other => panic!("no candidate is called {other}"),
        }
    }

    async fn rslock(&self) {
        let mut terminated = signal(SignalKind::terminate()).expect("a signal can be awaited");
        let manager = LockManager::new(vec![self.redis.as_str()]);
        loop {
            let guard = tokio::select! {
                guard = manager.acquire(self.key.as_str(), self.lease) => guard.expect("a valid lease"),
                _ = terminated.recv() => return,
            };
            let ended = tokio::select! {
                () = self.poll() => true,
                () = self.extend(&manager, &guard.lock) => false,
                _ = terminated.recv() => true,
            };
            guard.release().await;
            if ended {
                return;
            }
        }
    }

    /// Returns when the lock could not be extended.
    async fn extend(&self, manager: &LockManager, lock: &Lock) {
        loop {
            sleep(self.lease / 3).await;
            if manager.extend(lock, self.lease).await.is_err() {
                return;
            }
        }
    }

    /// Nothing is done on SIGTERM, which therefore ends the process.
    async fn set_nx(&self) {
        let mut lock = SetNx {
            client: Client::open(self.redis.as_str()).expect("a valid address"),
            connection: None,
            key: self.key.clone(),
            id: uuid::Uuid::new_v4().to_string(),
            lease: self.lease.as_millis() as u64,
        };
        let retry = self.lease.mul_f64(RETRY_PERIOD);
        loop {
            while !matches!(lock.acquire().await, Ok(true)) {
                sleep(retry.mul_f64(1.0 + JITTER * fastrand::f64())).await;
            }
            tokio::select! {
                () = self.poll() => return,
                () = lock.keep(retry, self.lease.mul_f64(RENEW_DEADLINE)) => {}
            }
        }
    }

    /// Polls, for ever.
    async fn poll(&self) {
        let client = http();
        let mut due = interval(EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let answer = async {
                client.get(&self.backend).timeout(POLL_TIMEOUT).send().await?.bytes().await
            };
            answer.await.ok();
        }
    }
}

/// The plain lock.
struct SetNx {
    client: Client,
    connection: Option<MultiplexedConnection>,
    key: String,
    id: String,
    /// In ms.
    lease: u64,
}

impl SetNx {
    async fn acquire(&mut self) -> Result<bool, RedisError> {
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(&self.id).arg("NX").arg("PX").arg(self.lease);
        let mut connection = self.connection().await?;
        let set: Option<String> = self.noting(set.query_async(&mut connection).await)?;
        Ok(set.is_some())
    }

    /// Renews every retry period, and again after each failure, as long as the deadline allows.
    async fn keep(&mut self, retry: Duration, deadline: Duration) {
        loop {
            let until = Instant::now() + deadline;
            loop {
                match timeout_at(until, self.renew()).await {
                    Ok(Ok(true)) => break,
                    Ok(Ok(false)) => return,
                    Ok(Err(_)) | Err(_) if Instant::now() >= until => return,
                    Ok(Err(_)) | Err(_) => sleep_until(until.min(Instant::now() + retry)).await,
                }
            }
            sleep(retry).await;
        }
    }

    async fn renew(&mut self) -> Result<bool, RedisError> {
        let mut connection = self.connection().await?;
        let script = Script::new(RENEW);
        let mut renewal = script.key(&self.key);
        renewal.arg(&self.id).arg(self.lease);
        let renewed = renewal.invoke_async(&mut connection).await;
        self.noting(renewed)
    }

    async fn connection(&mut self) -> Result<MultiplexedConnection, RedisError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        let connection = self.client.get_multiplexed_async_connection().await?;
        Ok(self.connection.insert(connection).clone())
    }

    /// The next try starts on a new connection after an error.
    fn noting<T>(&mut self, result: Result<T, RedisError>) -> Result<T, RedisError> {
        if result.is_err() {
            self.connection = None;
        }
        result
    }
}
