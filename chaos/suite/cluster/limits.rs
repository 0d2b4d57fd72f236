//! What a process may use at most: control groups of the first version.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::node::Node;
use crate::run::{Outcome, Unknown};

const ROOT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 2] = [CPU, MEMORY];
const CPU: &str = "cpu";
const MEMORY: &str = "memory";
const PREFIX: &str = "pollux-chaos-";
/// The longest that the kernel takes: a small share is then more than the millisecond that it gives at least.
const PERIOD_US: f64 = 1_000_000.0;
/// What a process may get while it is being limited, in bytes.
const SPARE: u64 = 256 * 1024;
/// Steps in which the memory is made less than the process has.
const STEPS: u64 = 64;

/// A group of processes that can be limited. Removed when it is dropped, if they have left it.
pub(super) struct Group {
    controller: &'static str,
    path: PathBuf,
    /// Locked while the run lives: the next one removes what nobody locks.
    _lock: File,
}

impl Group {
    /// A group with a node's process in it, which gets that share of one processor.
    pub(super) fn with_cpu(node: &Node, share: f64) -> Outcome<Self> {
        let group = Self::make(CPU, node)?;
        // The kernel takes no quota below a millisecond.
        let quota = (share * PERIOD_US).max(1000.0).round();
        group.set("cpu.cfs_period_us", PERIOD_US)?;
        group.set("cpu.cfs_quota_us", quota)?;
        group.set("cgroup.procs", node.id()?)?;
        Ok(group)
    }

    /// A group with a node's process in it, which can be left without memory. The process has to be new:
    /// what it has before stays with its old group.
    pub(super) fn with_memory(node: &Node) -> Outcome<Self> {
        let group = Self::make(MEMORY, node)?;
        group.set("cgroup.procs", node.id()?)?;
        Ok(group)
    }

    /// Lets the memory run out: the processes keep what they have, and get next to nothing more.
    pub(super) fn exhaust(&self) -> Outcome<()> {
        let used = self.get("memory.usage_in_bytes")?;
        let used: u64 = used.trim().parse()?;
        // A little more than it has is always accepted. From there down to where the kernel finds no more
        // to take back, which may be at once: without swap there is little.
        self.set("memory.limit_in_bytes", used + SPARE)?;
        let mut steps = (1..=STEPS).rev().map(|step| used * step / STEPS);
        match steps.find(|limit| self.set("memory.limit_in_bytes", limit).is_err()) {
            Some(_) => Ok(()),
            None => Err(Unknown("all of its memory could be taken back".to_owned())),
        }
    }

    fn make(controller: &'static str, node: &Node) -> Outcome<Self> {
        let at = Path::new(ROOT).join(controller);
        if !at.join("cgroup.procs").exists() {
            return Err(Unknown(format!("{}: no control groups of version 1", at.display())));
        }
        remove_left();
        let path = at.join(format!("{PREFIX}{}-{}", Uuid::new_v4().simple(), node.name));
        fs::create_dir(&path)?;
        let lock = File::open(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { controller, path, _lock: lock })
    }

    /// Lets all processes out.
    pub(super) fn dissolve(self) -> Outcome<()> {
        let out = Path::new(ROOT).join(self.controller).join("cgroup.procs");
        for id in self.get("cgroup.procs")?.lines() {
            fs::write(&out, id)?;
        }
        Ok(())
    }

    /// How often the processes had to wait since their share was used up.
    pub(super) fn throttled(&self) -> Outcome<u64> {
        self.number("cpu.stat", "nr_throttled ")
    }

    /// How many processes the kernel has ended since the memory had run out.
    pub(super) fn killed(&self) -> Outcome<u64> {
        self.number("memory.oom_control", "oom_kill ")
    }

    fn number(&self, file: &str, field: &str) -> Outcome<u64> {
        let text = self.get(file)?;
        let value = text.lines().find_map(|line| line.strip_prefix(field)?.parse().ok());
        value.ok_or_else(|| Unknown(format!("{}: no {field}", self.path.join(file).display())))
    }

    fn get(&self, file: &str) -> Outcome<String> {
        Ok(fs::read_to_string(self.path.join(file))?)
    }

    fn set(&self, file: &str, value: impl ToString) -> Outcome<()> {
        let path = self.path.join(file);
        fs::write(&path, value.to_string())
            .map_err(|error| Unknown(format!("{}: {error}", path.display())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Where a process is still in it, the next run does.
        fs::remove_dir(&self.path).ok();
    }
}

/// Removes what runs that were killed have left: there is no process in it, and nobody locks it.
pub(crate) fn remove_left() {
    let groups =
        CONTROLLERS.iter().filter_map(|each| fs::read_dir(Path::new(ROOT).join(each)).ok());
    for group in groups.flatten().flatten() {
        if group.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(lock) = File::open(group.path())
            && flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            fs::remove_dir(group.path()).ok();
        }
    }
}
