//! Three candidates of one system, each with a way of its own to Redis, and what is done to them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::process::Signal;
use tempfile::TempDir;

use super::backend::{Backend, Journal};
use super::candidate::{self, Candidate, EVERY};
use super::common::process::Process;
use super::common::proxy::Proxy;
use super::common::redis_server::RedisServer;
use super::common::replica::Replica;
use super::guarded::guard;

const CANDIDATES: usize = 3;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum System {
    Pollux,
    Rslock,
    SetNx,
}

/// What happens to the leader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub(crate) enum Fault {
    Sigkill,
    Sigterm,
    Sigstop,
    Cut,
    Blackhole,
}

impl System {
    pub(crate) const ALL: [Self; 3] = [Self::Pollux, Self::Rslock, Self::SetNx];

    /// How often its leader renews.
    pub(crate) fn retry_period(self, lease: Duration) -> Duration {
        match self {
            Self::Pollux => lease / 6,
            Self::Rslock => lease / 3,
            Self::SetNx => lease.mul_f64(candidate::RETRY_PERIOD),
        }
    }

    /// Whether a successor need not wait for the lease to end.
    pub(crate) fn sees_at_once(self, fault: Fault) -> bool {
        match self {
            Self::Pollux => matches!(fault, Fault::Sigkill | Fault::Sigterm | Fault::Cut),
            Self::Rslock => fault == Fault::Sigterm,
            Self::SetNx => false,
        }
    }
}

impl Fault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Sigkill, Self::Sigterm, Self::Sigstop, Self::Cut, Self::Blackhole];
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pollux => "Pollux",
            Self::Rslock => "rslock",
            Self::SetNx => "`SET NX PX`",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sigkill => "SIGKILL",
            Self::Sigterm => "SIGTERM",
            Self::Sigstop => "SIGSTOP",
            Self::Cut => "connection cut",
            Self::Blackhole => "blackhole",
        })
    }
}

/// Three candidates, and the requests that they send to the backend.
pub(crate) struct Cluster {
    pub journal: Arc<Journal>,
    members: Vec<Member>,
}

struct Member {
    proxy: Proxy,
    running: Running,
}

/// A process, with the directory of its output.
enum Running {
    Pollux(Replica),
    Other(Process, #[expect(dead_code, reason = "removed when it is dropped")] TempDir),
}

impl Cluster {
    /// Starts the candidates at once. `name` must be new.
    pub(crate) async fn start(
        system: System,
        lease: Duration,
        name: &str,
        redis: &RedisServer,
        backend: &Backend,
    ) -> Self {
        let journal = backend.journal(name);
        let members = (0..CANDIDATES).map(async |index| {
            let proxy = Proxy::to(redis.port).await;
            let url = backend.url(name, index);
            let kind = match system {
                System::Pollux => {
                    let running = start_pollux(lease, name, index, &proxy.url(), &url).await;
                    return Member { running, proxy };
                }
                System::Rslock => "rslock",
                System::SetNx => "set-nx",
            };
            let candidate = Candidate {
                kind: kind.to_owned(),
                redis: proxy.url(),
                key: name.to_owned(),
                lease,
                backend: url,
            };
            Member { running: start_other(&candidate), proxy }
        });
        Self { members: join_all(members).await, journal }
    }

    /// Whether each candidate has reached Redis.
    pub(crate) fn is_connected(&self) -> bool {
        self.members.iter().all(|member| !member.proxy.ports().is_empty())
    }

    /// Lets the fault happen to one candidate.
    pub(crate) async fn inflict(&mut self, fault: Fault, candidate: usize) {
        let member = &mut self.members[candidate];
        match fault {
            Fault::Sigkill => member.process().signal(Signal::KILL),
            Fault::Sigterm => member.process().signal(Signal::TERM),
            Fault::Sigstop => member.process().signal(Signal::STOP),
            Fault::Cut => member.proxy.refuse().await,
            Fault::Blackhole => member.proxy.block(),
        }
    }

    /// Lets a stopped candidate go on.
    pub(crate) fn wake(&self, candidate: usize) {
        self.members[candidate].process().signal(Signal::CONT);
    }
}

impl Member {
    fn process(&self) -> &Process {
        match &self.running {
            Running::Pollux(replica) => &replica.process,
            Running::Other(process, _) => process,
        }
    }
}

/// For a lease of 6 s these are the default timings.
async fn start_pollux(
    lease: Duration,
    cluster: &str,
    index: usize,
    redis: &str,
    url: &str,
) -> Running {
    let [duration, deadline, retry] =
        [lease, lease * 2 / 3, System::Pollux.retry_period(lease)].map(|time| time.as_millis());
    let every = EVERY.as_millis();
    let yaml = format!(
        "cluster: {cluster}
redis: {{ url: \"{redis}\" }}
lease: {{ duration: {duration}ms, renew_deadline: {deadline}ms, retry_period: {retry}ms }}
endpoints:
  - {{ name: polled, url: \"{url}\", every: {every}ms, timeout: 1s }}
"
    );
    let name = ["castor", "idas", "lynceus"][index];
    Running::Pollux(Replica::start_with(name, &yaml, guard).await)
}

fn start_other(candidate: &Candidate) -> Running {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = candidate.command();
    guard(&mut command);
    let process = Process::start(&mut command, &directory.path().join("output"));
    Running::Other(process, directory)
}
