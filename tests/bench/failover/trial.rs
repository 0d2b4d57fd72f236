//! One fault in one cluster, and what the backend saw of it.

use std::time::Duration;

use tokio::sync::{RwLock, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::backend::{Backend, Request};
use super::cluster::{Cluster, Fault, System};
use super::common::redis_server::RedisServer;

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How many clusters may start at the same time.
const STARTING: usize = 3;
/// The longest that three processes may take to start.
const START: Duration = Duration::from_secs(20);
/// How long a leader leads at least before its fault, so that the standbys stand by.
const SETTLING: Duration = Duration::from_millis(500);
/// The longest that a prompt takeover keeps everybody else from starting clusters.
const PROMPT: Duration = Duration::from_secs(1);
/// How long a successor polls alone before a stopped leader is woken.
const ALONE: Duration = Duration::from_millis(200);
/// An old leader that has not polled for so long has stopped.
const SILENCE: Duration = Duration::from_secs(1);
/// A successor must come within so many leases.
const PATIENCE: u32 = 3;

/// What is shared by all clusters. Each system has a Redis of its own, so that none pays for
/// another's commands.
pub(crate) struct Stage {
    backend: Backend,
    servers: Vec<(System, RedisServer)>,
    starting: Semaphore,
    /// Prompt takeovers are measured one at a time, and while no cluster starts.
    quiet: RwLock<()>,
}

/// What is to be measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub system: System,
    pub fault: Fault,
    pub lease: Duration,
}

/// What the backend saw.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    /// The longest time between two successive requests, from the last one before the fault to
    /// the successor's first.
    pub gap: Duration,
    /// From the fault to the successor's first request.
    pub succession: Duration,
    /// The old leader's requests after the successor's first.
    pub beside: usize,
    /// From the first to the last of them.
    pub beside_for: Duration,
}

impl Stage {
    pub(crate) async fn set(systems: &[System]) -> Self {
        let mut servers = Vec::new();
        for &system in systems {
            servers.push((system, RedisServer::start().await));
        }
        let backend = Backend::start().await;
        Self { backend, servers, starting: Semaphore::new(STARTING), quiet: RwLock::new(()) }
    }

    /// Measures a case once, in a cluster of its own.
    ///
    /// # Errors
    /// What did not happen in time.
    pub(crate) async fn measure(&self, case: Case, name: &str) -> Result<Seen, String> {
        let mut cluster = self.start(case, name).await?;
        // The fault comes at any time between two renewals.
        sleep(SETTLING + case.system.retry_period(case.lease).mul_f64(fastrand::f64())).await;

        let quiet = match case.system.sees_at_once(case.fault) {
            true => Some(self.quiet.write().await),
            false => None,
        };
        let old = cluster.journal.last(|_| true).ok_or("nobody polled")?.candidate;
        let fault_at = Instant::now();
        cluster.inflict(case.fault, old).await;
        let is_succeeded =
            || cluster.journal.last(|request| request.candidate != old && request.at >= fault_at);
        let mut succeeded = until(PROMPT, || is_succeeded().is_some()).await;
        drop(quiet);
        if !succeeded {
            succeeded = until(case.lease * PATIENCE, || is_succeeded().is_some()).await;
        }
        if !succeeded {
            return Err(format!("no successor within {PATIENCE} leases"));
        }

        let mut silent_from = Instant::now();
        if case.fault == Fault::Sigstop {
            sleep(ALONE).await;
            silent_from = Instant::now();
            cluster.wake(old);
        }
        let is_silent = || {
            let last = cluster.journal.last(|request| request.candidate == old);
            last.map_or(silent_from, |last| last.at.max(silent_from)).elapsed() >= SILENCE
        };
        // One that never stops shows as a second poller for that long.
        until(case.lease * PATIENCE, is_silent).await;
        assess(&cluster.journal.requests(), old, fault_at).ok_or_else(|| "too few polls".to_owned())
    }

    /// Starts a cluster, and waits until somebody polls and all have reached Redis.
    async fn start(&self, case: Case, name: &str) -> Result<Cluster, String> {
        let _turn = self.starting.acquire().await.map_err(|error| error.to_string())?;
        let _quiet = self.quiet.read().await;
        let server = self.servers.iter().find(|(system, _)| *system == case.system);
        let (_, redis) = server.ok_or("no server for this system")?;
        let starting = Cluster::start(case.system, case.lease, name, redis, &self.backend);
        let cluster = timeout(START, starting).await.map_err(|_| "the cluster did not start")?;
        let leads = || cluster.journal.last(|_| true).is_some() && cluster.is_connected();
        until(START, leads).await.then_some(cluster).ok_or_else(|| "nobody led at first".to_owned())
    }
}

/// Whether something came true in time.
async fn until(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

/// Reads the journal of a cluster whose leader, `old`, had a fault. `None`: there was no request
/// before the fault, or no successor.
fn assess(requests: &[Request], old: usize, fault_at: Instant) -> Option<Seen> {
    let last = requests.iter().rposition(|request| request.at < fault_at)?;
    let is_successors = |request: &Request| request.at >= fault_at && request.candidate != old;
    let first = requests.iter().position(is_successors)?;
    let gaps = requests.get(last..=first)?.windows(2).map(|pair| pair[1].at - pair[0].at);
    let mut beside = requests[first..].iter().filter(|request| request.candidate == old);
    let count = beside.clone().count();
    let began = beside.next().map(|request| request.at);
    let ended = beside.next_back().map(|request| request.at).or(began);
    Some(Seen {
        gap: gaps.max()?,
        succession: requests[first].at - fault_at,
        beside: count,
        beside_for: ended.zip(began).map_or(Duration::ZERO, |(ended, began)| ended - began),
    })
}
