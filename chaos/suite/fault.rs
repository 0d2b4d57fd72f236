//! What a scenario is: a fault, what it may cost, and how it is made.

use futures_util::future::BoxFuture;

use crate::cluster::Cluster;
use crate::run::{Bound, Invariant, Outcome, Timing};

/// A fault. Each has a file of its own in `chaos/faults`.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    /// Its number in the table.
    pub number: u8,
    /// What it is called on the command line.
    pub name: &'static str,
    /// What happens, in a few words.
    pub title: &'static str,
    /// What it may cost.
    pub bound: fn(&Timing) -> Bound,
    /// How many claims by others it may cause.
    pub changes: fn(&Timing) -> usize,
    /// How many claims by the leader itself: on a server that is new.
    pub reclaims: usize,
    /// What it needs around it.
    pub layout: Layout,
    /// Invariants that it cannot be judged by; the file says why.
    pub spared: &'static [Invariant],
    /// How it is made, or why not.
    pub made: Made,
}

/// How a fault is made.
#[derive(Clone, Copy)]
pub(crate) enum Made {
    /// Makes it, shows that it landed, and heals it. An error: it did not land, and the run says nothing.
    Here(for<'a> fn(&'a Cluster) -> BoxFuture<'a, Outcome<()>>),
    /// Why this suite cannot make it, and what can.
    Elsewhere(&'static str),
}

impl Fault {
    /// What most faults are: no change of leader, and everybody level within a second.
    pub(crate) const HARMLESS: Self = Self {
        number: 0,
        name: "",
        title: "",
        bound: |_| Bound::Level(1000),
        changes: |_| 0,
        reclaims: 0,
        layout: Layout::PLAIN,
        spared: &[],
        made: Made::Elsewhere(""),
    };
}

/// What a cluster is built of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub redis: RedisLayout,
    /// Whether each replica reaches Redis through a proxy of its own, which can delay, cut and slice.
    pub proxied: bool,
    /// Whether replicas reach Redis and the backend by name, from a name server that can be stopped.
    pub named: bool,
    /// Whether Redis asks for a user and a password, and encrypts.
    pub guarded: bool,
    /// Whether the processes' clocks can be set off, by a library that is loaded before them.
    pub clocks: bool,
    /// How many publications the history keeps.
    pub history: u64,
    /// How many more clients there are, which only follow.
    pub crowd: usize,
}

/// How Redis is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisLayout {
    /// One server, without persistence.
    Single,
    /// A master, a replica of it, and three sentinels.
    Sentinel,
    /// Three masters.
    Cluster,
}

impl Layout {
    /// One server, reached directly.
    pub(crate) const PLAIN: Self = Self {
        redis: RedisLayout::Single,
        proxied: false,
        named: false,
        guarded: false,
        clocks: false,
        // As by default: a history would refuse some of what the safeguards have to refuse by themselves.
        history: 0,
        crowd: 0,
    };

    /// What two faults at once need, if they can be had together.
    pub(crate) fn with(self, other: Self) -> Option<Self> {
        let redis = match (self.redis, other.redis) {
            (one, two) if one == two => one,
            (RedisLayout::Single, another) | (another, RedisLayout::Single) => another,
            _ => return None,
        };
        let together = Self {
            redis,
            proxied: self.proxied || other.proxied,
            named: self.named || other.named,
            guarded: self.guarded || other.guarded,
            clocks: self.clocks || other.clocks,
            history: self.history.min(other.history),
            crowd: self.crowd.max(other.crowd),
        };
        // Sentinel and Cluster tell addresses of their own, past any proxy or name, and are not guarded.
        let plain = redis == RedisLayout::Single
            || !(together.proxied || together.named || together.guarded);
        plain.then_some(together)
    }
}
