//! A replica of Pollux: its process, its configuration, and what it says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::clock::FakeClock;
use super::configuration::{ADMIN_PORT, GATEWAY_PORT, Role};
use super::limits::Group;
use super::node::Node;
use super::waiting::holds;
use crate::common::proxy::Proxy;
use crate::run::{Outcome, Unknown};

/// How long it may take to be ready.
const READY: Duration = Duration::from_secs(20);
/// How long it may take to leave: more than its setting `drain`.
const LEAVES: Duration = Duration::from_secs(15);
/// How many requests at once need more memory than a replica is left with.
const PRESSING: usize = 100;
const MOST_PRESSING: usize = 512;
/// How long the kernel may take to find out that there is no memory.
const RUNS_OUT: Duration = Duration::from_secs(30);

/// A replica, running or not.
pub(crate) struct Replica {
    pub(super) node: Arc<Node>,
    pub(super) role: Role,
    pub(super) binary: PathBuf,
    pub(super) configuration: PathBuf,
    pub(super) path: Option<Proxy>,
    pub(super) clock: Option<FakeClock>,
    pub(super) http: reqwest::Client,
    pub(super) limits: Mutex<Limits>,
}

/// The groups that its process is in.
#[derive(Default)]
pub(super) struct Limits {
    cpu: Option<Group>,
    /// From its start on, where the machine has such groups.
    memory: Option<Group>,
    /// What asks for more than it has memory for.
    pressing: JoinSet<()>,
}

impl Replica {
    pub(crate) fn name(&self) -> &str {
        &self.node.name
    }

    /// Where clients find its gateway.
    pub(super) fn gateway(&self) -> SocketAddr {
        (self.node.address, GATEWAY_PORT).into()
    }

    /// Ends it with SIGKILL.
    pub(crate) async fn kill(&self) -> Outcome<()> {
        self.node.kill().await
    }

    /// Asks it to end, with SIGTERM.
    ///
    /// # Errors
    /// When it does not end in time, or with another status than 0.
    pub(crate) async fn terminate(&self) -> Outcome<()> {
        let status = self.node.terminate(LEAVES).await?;
        if status.success() {
            return Ok(());
        }
        Err(Unknown(format!("{} ended with {status}", self.name())))
    }

    /// Freezes it with SIGSTOP, and shows by the states of its threads that it is frozen.
    pub(crate) async fn freeze(&self) -> Outcome<()> {
        self.node.freeze().await
    }

    /// Lets it go on, with SIGCONT.
    pub(crate) async fn wake(&self) -> Outcome<()> {
        self.node.wake()
    }

    /// Starts it, and waits until it is ready.
    pub(crate) async fn start(&self) -> Outcome<()> {
        *self.limits.lock() = Limits::default();
        let binary = self.binary.to_string_lossy();
        self.node.start(&binary, |command| {
            command
                .args(["run", "--role", self.role.word(), "--config"])
                .arg(&self.configuration)
                .env("POLLUX__REPLICA", self.name());
            if let Some(clock) = &self.clock {
                clock.load(command);
            }
        })?;
        // Where there are no such groups, a scenario that needs one says so.
        self.limits.lock().memory = Group::with_memory(&self.node).ok();
        let what = format!("{} is ready", self.name());
        let ready = holds(READY, &what, || async {
            if !self.is_running() {
                return Some(false);
            }
            (self.status("/readyz").await? == 200).then_some(true)
        });
        if ready.await? {
            return Ok(());
        }
        let log = self.log();
        let last = log.lines().last().unwrap_or_default();
        Err(Unknown(format!("{} ended at its start: {last}", self.name())))
    }

    pub(crate) fn is_running(&self) -> bool {
        self.node.is_running()
    }

    /// Waits until it ends by itself.
    pub(crate) async fn until_ended(&self) -> Outcome<()> {
        self.node.ended(RUNS_OUT).await?;
        Ok(())
    }

    /// The sum of a metric over all label sets that contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> Outcome<f64> {
        let text = self.metrics().await?;
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(labels)
        });
        Ok(samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// All that it counts, as Prometheus reads it.
    pub(super) async fn metrics(&self) -> Outcome<String> {
        Ok(self.http.get(self.admin("/metrics")).send().await?.text().await?)
    }

    async fn status(&self, path: &str) -> Option<u16> {
        Some(self.http.get(self.admin(path)).send().await.ok()?.status().as_u16())
    }

    fn admin(&self, path: &str) -> String {
        format!("http://{}:{ADMIN_PORT}{path}", self.node.address)
    }

    /// Its path to Redis, in a layout that is proxied.
    pub(crate) fn path(&self) -> Outcome<&Proxy> {
        self.path.as_ref().ok_or_else(|| Unknown("this layout has no proxies".to_owned()))
    }

    /// Its clocks, in a layout that can set them off.
    pub(crate) fn clock(&self) -> Outcome<&FakeClock> {
        self.clock.as_ref().ok_or_else(|| Unknown("this layout has right clocks alone".to_owned()))
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.node.log()
    }

    /// Leaves it that share of one processor.
    pub(crate) async fn limit_cpu(&self, share: f64) -> Outcome<()> {
        self.limits.lock().cpu = Some(Group::with_cpu(&self.node, share)?);
        Ok(())
    }

    /// Says how often it had to wait for a processor since it was limited.
    ///
    /// # Errors
    /// When it never had to.
    pub(crate) fn throttled(&self) -> Outcome<String> {
        let limits = self.limits.lock();
        let group = limits.cpu.as_ref().ok_or_else(|| Unknown("it is not limited".to_owned()))?;
        match group.throttled()? {
            0 => Err(Unknown(format!("{} never had to wait for a processor", self.name()))),
            times => Ok(format!("it had used up its share {times} times")),
        }
    }

    /// Leaves it all processors again.
    pub(crate) async fn unlimit_cpu(&self) -> Outcome<()> {
        self.limits.lock().cpu.take().map_or(Ok(()), Group::dissolve)
    }

    /// Leaves it the memory that it has, and asks so much of it that the kernel ends it soon: see
    /// [`Replica::until_ended`].
    pub(crate) async fn limit_memory(&self) -> Outcome<()> {
        self.with_memory(Group::exhaust)?;
        let (http, url, node) = (self.http.clone(), self.admin("/metrics"), Arc::clone(&self.node));
        self.limits.lock().pressing.spawn(async move {
            let ask = || async { http.get(&url).send().await?.bytes().await };
            // Ever more at once: what it has freed meanwhile it can use again.
            let mut at_once = PRESSING;
            while node.is_running() {
                join_all((0..at_once).map(|_| ask())).await;
                at_once = (2 * at_once).min(MOST_PRESSING);
            }
        });
        Ok(())
    }

    /// Says that the kernel ended it since its memory had run out.
    ///
    /// # Errors
    /// When that is not how it ended.
    pub(crate) fn killed_for_memory(&self) -> Outcome<String> {
        let end = self.node.end().map_or("it still runs".to_owned(), |status| status.to_string());
        match self.with_memory(Group::killed)? {
            0 => Err(Unknown(format!("{} was not ended by the kernel: {end}", self.name()))),
            _ => Ok(format!("the kernel ended it for its memory: {end}")),
        }
    }

    fn with_memory<T>(&self, act: impl FnOnce(&Group) -> Outcome<T>) -> Outcome<T> {
        let limits = self.limits.lock();
        let none = || Unknown("no control groups of version 1 for memory".to_owned());
        act(limits.memory.as_ref().ok_or_else(none)?)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        // Its groups can be removed after that alone.
        self.node.abandon();
    }
}
