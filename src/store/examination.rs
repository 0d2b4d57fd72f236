use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::format_duration;

/// How far the store's clock may be from a replica's. People who compare times do not notice less.
const CLOCKS_APART: Duration = Duration::from_secs(5);

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
    /// Its clock is not that of the replica's machine.
    Clock {
        /// How far it is from it, in full seconds.
        apart: Duration,
        /// Whether it is ahead of it, rather than behind.
        ahead: bool,
    },
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
    pub const KINDS: [&str; 5] = ["clock", "eviction", "run_id", "numsub", "permission"];

    /// The name in metrics.
    pub fn kind(&self) -> &'static str {
        let [clock, eviction, run_id, numsub, permission] = Self::KINDS;
        match self {
            Self::Clock { .. } => clock,
            Self::Evicts { .. } => eviction,
            Self::NoRunId => run_id,
            Self::NoNumsub => numsub,
            Self::NoPermission { .. } => permission,
        }
    }

    /// Judges the store's clock, in ms, by what this machine's wall clock said, in ms too, before the
    /// store was asked for the time and after it had answered.
    pub(super) fn of_clocks(store: u64, asked: u64, answered: u64) -> Option<Self> {
        let (ahead, behind) = (store.saturating_sub(answered), asked.saturating_sub(store));
        let apart = Duration::from_millis(ahead.max(behind));
        (apart > CLOCKS_APART)
            .then(|| Self::Clock { apart: Duration::from_secs(apart.as_secs()), ahead: ahead > 0 })
    }

    /// Whether it adds something to those that are known. By how much clocks differ changes all the
    /// time.
    pub fn is_news_to(&self, known: &[Self]) -> bool {
        match self {
            Self::Clock { .. } => known.iter().all(|one| one.kind() != self.kind()),
            _ => !known.contains(self),
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
            Self::Clock { apart, ahead } => {
                let apart = format_duration(*apart);
                let side = if *ahead { "ahead of" } else { "behind" };
                write!(
                    formatter,
                    "the clock is {apart} {side} this machine's: terms and the times of data go by the \
                     server's clock, logs and HTTP dates by this one, and they do not match: have \
                     NTP set both"
                )
            }
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

/// This machine's wall clock, in ms.
#[expect(clippy::disallowed_methods, reason = "the wall clock is what is compared")]
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_five_seconds_and_the_time_the_answer_took() {
        for (store, expected) in [
            (100_000, None),
            (95_000, None),
            (94_999, Some((5, false))),
            (107_000, None),
            (107_001, Some((5, true))),
            (3_702_000, Some((3600, true))),
            (0, Some((100, false))),
        ] {
            let found = Shortcoming::of_clocks(store, 100_000, 102_000);
            let clock =
                |(apart, ahead)| Shortcoming::Clock { apart: Duration::from_secs(apart), ahead };
            assert_eq!(found, expected.map(clock), "{store}");
        }
    }

    #[test]
    fn a_clock_that_stays_off_is_told_once() {
        let clock = |apart| Shortcoming::Clock { apart: Duration::from_secs(apart), ahead: true };
        assert!(clock(7).is_news_to(&[Shortcoming::NoRunId]));
        assert!(!clock(8).is_news_to(&[Shortcoming::NoRunId, clock(7)]));
        let evicts = |policy: &str| Shortcoming::Evicts { policy: policy.to_owned() };
        assert!(evicts("allkeys-lru").is_news_to(&[evicts("volatile-lru")]));
        assert!(clock(3600).to_string().starts_with("the clock is 1h ahead of this machine's: "));
    }
}
