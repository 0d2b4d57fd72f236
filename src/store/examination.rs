use std::fmt;

/// What a store offers, for its user.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// The server's name and version, such as `Redis 7.0.15`; empty where it cannot be read.
    pub server: String,
    /// The time by the store's clock, in ms.
    pub now: u64,
    /// What it lacks.
    pub shortcomings: Vec<Shortcoming>,
}

/// Something that a store lacks. Replicas run on all the same, less safely or less promptly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shortcoming {
    /// It evicts keys that expire, the lease among them, when it is full.
    Evicts {
        /// The eviction policy.
        policy: String,
    },
    /// Its run id cannot be read.
    NoRunId,
    /// Scripts cannot count the subscribers of a channel.
    NoNumsub,
    /// Its user may not do what the replica has to.
    NoPermission {
        /// The commands, with the keys and channels they are for.
        commands: Vec<String>,
    },
}

impl Shortcoming {
    /// The names of all in metrics.
    pub const KINDS: [&str; 4] = ["eviction", "run_id", "numsub", "permission"];

    /// The name in metrics.
    pub fn kind(&self) -> &'static str {
        let [eviction, run_id, numsub, permission] = Self::KINDS;
        match self {
            Self::Evicts { .. } => eviction,
            Self::NoRunId => run_id,
            Self::NoNumsub => numsub,
            Self::NoPermission { .. } => permission,
        }
    }

    /// Whether a replica cannot do its work for it.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::NoPermission { .. })
    }
}

/// What is lacking, what that costs, and what to do.
impl fmt::Display for Shortcoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicts { policy } => write!(
                formatter,
                "with maxmemory-policy {policy} a full server evicts the lease, and the leader \
                 changes for nothing: set it to noeviction"
            ),
            Self::NoRunId => formatter.write_str(
                "the run id cannot be read: a restart is not noticed, and a crashed leader is \
                 replaced only when its lease ends: allow INFO",
            ),
            Self::NoNumsub => formatter.write_str(
                "PUBSUB NUMSUB does not work in scripts: a crashed leader is replaced only when \
                 its lease ends: allow PUBSUB",
            ),
            Self::NoPermission { commands } => {
                let commands = commands.join(", ");
                write!(formatter, "the user may not: {commands}; see config/redis-acl.conf")
            }
        }
    }
}
