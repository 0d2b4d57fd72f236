//! A process in the network namespace of its node.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::network;
use super::waiting::holds;
use crate::history::{ENDED, Event, FROZEN, Function, History, Kind, STARTED, WOKEN};
use crate::run::{Outcome, Unknown};

/// How long a process may take to end when it is killed, or to stop when it is frozen.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A node of the network, and the one process that runs there.
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: Ipv4Addr,
    log: PathBuf,
    history: History,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: Option<Child>,
    /// How the last one ended.
    ended: Option<ExitStatus>,
}

impl Node {
    /// A node without a process as yet, whose output goes into `directory`.
    pub(super) fn new(name: &str, directory: &Path, history: &History) -> Outcome<Self> {
        Ok(Self {
            name: name.to_owned(),
            address: network::of(name)?,
            log: directory.join(format!("{name}.log")),
            history: history.clone(),
            state: Mutex::default(),
        })
    }

    /// Starts a program here.
    pub(super) fn start(&self, program: &str, prepare: impl FnOnce(&mut Command)) -> Outcome<()> {
        if self.is_running() {
            return Err(Unknown(format!("{} runs already", self.name)));
        }
        let output = File::options().create(true).append(true).open(&self.log)?;
        let mut command = network::inside(&self.name, program);
        prepare(&mut command);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| self.told(&error))?;
        self.note(STARTED);
        *self.state.lock() = State { process: Some(child), ended: None };
        Ok(())
    }

    /// What the processes here have written.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether a process is here. Its end is recorded by whoever finds it out.
    pub(super) fn is_running(&self) -> bool {
        let mut state = self.state.lock();
        let Some(process) = &mut state.process else { return false };
        let Ok(Some(status)) = process.try_wait() else { return true };
        *state = State { process: None, ended: Some(status) };
        drop(state);
        self.note(&format!("{ENDED}: {status}"));
        false
    }

    /// Its process id.
    pub(super) fn id(&self) -> Outcome<u32> {
        let state = self.state.lock();
        state.process.as_ref().map(Child::id).ok_or_else(|| self.told(&"it does not run"))
    }

    /// Sends a signal to the process, to this one alone.
    pub(super) fn signal(&self, signal: Signal) -> Outcome<()> {
        // Under the lock: a process that nobody has waited for keeps its id.
        let state = self.state.lock();
        let id = state.process.as_ref().map(Child::id).and_then(|id| i32::try_from(id).ok());
        match id.and_then(Pid::from_raw) {
            Some(pid) if pid.as_raw_nonzero().get() > 1 => Ok(kill_process(pid, signal)?),
            _ => Err(self.told(&"it does not run")),
        }
    }

    /// Ends it at once.
    pub(super) async fn kill(&self) -> Outcome<()> {
        self.signal(Signal::KILL)?;
        self.ended(AT_ONCE).await?;
        Ok(())
    }

    /// Asks it to end, and waits.
    pub(super) async fn terminate(&self, within: Duration) -> Outcome<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(within).await
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&self, within: Duration) -> Outcome<ExitStatus> {
        let what = format!("the end of {}", self.name);
        holds(within, &what, || async {
            if self.is_running() { None } else { self.state.lock().ended }
        })
        .await
    }

    /// How the last process here ended; `None` while one runs, or before any did.
    pub(super) fn end(&self) -> Option<ExitStatus> {
        self.state.lock().ended
    }

    /// Stops it, until it is woken: all its threads are in state T.
    pub(super) async fn freeze(&self) -> Outcome<()> {
        self.signal(Signal::STOP)?;
        let what = format!("{} is frozen", self.name);
        holds(AT_ONCE, &what, || async { self.is_frozen().then_some(()) }).await?;
        self.note(FROZEN);
        Ok(())
    }

    /// Lets it go on.
    pub(super) fn wake(&self) -> Outcome<()> {
        let was_frozen = self.is_frozen();
        self.signal(Signal::CONT)?;
        if was_frozen {
            self.note(WOKEN);
        }
        Ok(())
    }

    fn is_frozen(&self) -> bool {
        let Ok(id) = self.id() else { return false };
        let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return false };
        let mut states = threads.map(|thread| {
            let stat = fs::read_to_string(thread.ok()?.path().join("stat")).ok()?;
            // The name before may hold anything, parentheses too.
            stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('T'))
        });
        states.all(|is_stopped| is_stopped == Some(true))
    }

    /// The resident memory, in bytes, and the number of open files; `None` without a process.
    pub(super) fn usage(&self) -> Option<(u64, usize)> {
        let id = self.id().ok()?;
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let resident: u64 = resident.trim().trim_end_matches(" kB").parse().ok()?;
        Some((resident * 1024, fs::read_dir(format!("/proc/{id}/fd")).ok()?.count()))
    }

    /// Ends its process, if there is one, and tells nobody.
    pub(super) fn abandon(&self) {
        if let Some(mut process) = self.state.lock().process.take() {
            // One that has ended already cannot be killed, which is as good.
            process.kill().ok();
            process.wait().ok();
        }
    }

    fn told(&self, why: &dyn std::fmt::Display) -> Unknown {
        Unknown(format!("{}: {why}", self.name))
    }

    fn note(&self, what: &str) {
        let event = Event::new(&self.name, Kind::Info, Function::Process);
        self.history.record(event.note(what));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.abandon();
    }
}
