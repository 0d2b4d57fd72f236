//! What the log tells of leadership: whatever happens, an event with the same fields.

use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeadershipChange {
    /// The replica claimed a term: it leads.
    Claimed,
    /// The replica leads no more.
    Ended,
    /// The replica stands by: another leads.
    StandingBy,
    /// The replica was asked to have the leader hand over.
    Asked,
    /// The replica hands over since a standby reaches more of the backends.
    Abdicating,
    /// The replica is about to give its lease back.
    SteppingDown,
    /// The replica took the lease of a crashed leader away.
    Reaped,
    /// The lease that the replica gave back was taken by nobody.
    Unclaimed,
    /// The replica could not give its lease back: it runs out.
    Unreleased,
    /// The lease is free and the replica cannot take it.
    Untaken,
    /// The replica waits for the leader to claim on a store that was replaced.
    Waiting,
    /// The leader's term is behind one that the replica has seen.
    Outrun,
}

impl LeadershipChange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Ended => "ended",
            Self::StandingBy => "standing_by",
            Self::Asked => "asked",
            Self::Abdicating => "abdicating",
            Self::SteppingDown => "stepping_down",
            Self::Reaped => "reaped",
            Self::Unclaimed => "unclaimed",
            Self::Unreleased => "unreleased",
            Self::Untaken => "untaken",
            Self::Waiting => "waiting",
            Self::Outrun => "outrun",
        }
    }
}

/// One event. All fields are logged, also those that have nothing to tell: text is empty then, and a
/// number is 0, which is no term.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeadershipEvent<'a> {
    /// What happened.
    pub(crate) change: LeadershipChange,
    /// The replica that logs it.
    pub(crate) replica: &'a str,
    /// Who leads, or is about to end, or led last.
    pub(crate) leader: &'a str,
    /// The leader's term.
    pub(crate) term: u64,
    /// The highest term that the replica had seen before.
    pub(crate) previous_term: u64,
    /// Why.
    pub(crate) cause: &'a str,
    /// How long nobody had led.
    pub(crate) gap: Duration,
    /// How long the replica led.
    pub(crate) led_for: Duration,
}

impl<'a> LeadershipEvent<'a> {
    pub(crate) fn new(change: LeadershipChange, replica: &'a str) -> Self {
        let (gap, led_for) = (Duration::ZERO, Duration::ZERO);
        Self { change, replica, leader: "", term: 0, previous_term: 0, cause: "", gap, led_for }
    }

    /// Logs it as what happens in the ordinary course.
    pub(crate) fn info(self, message: &str) {
        self.log(false, message);
    }

    /// Logs it as something that somebody may want to look into.
    pub(crate) fn warn(self, message: &str) {
        self.log(true, message);
    }

    fn log(self, warns: bool, message: &str) {
        let Self { replica, leader, term, previous_term, cause, .. } = self;
        let change = self.change.as_str();
        let (gap_ms, led_ms) = (millis(self.gap), millis(self.led_for));
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(
                    event = "leadership",
                    change,
                    replica,
                    leader,
                    term,
                    previous_term,
                    cause,
                    gap_ms,
                    led_ms,
                    "{message}"
                )
            };
        }
        if warns { log!(warn) } else { log!(info) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
