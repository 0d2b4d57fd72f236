//! Why leaderships begin and end, as the timeline tells.

/// Why a leadership began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There was no leader before.
    First,
    /// The leader gave its lease back.
    Released,
    /// The leader crashed, and a standby saw it.
    Crashed,
    /// The leader let its lease end.
    Expired,
    /// The same leader goes on with a new term on a server with another run id.
    Restarted,
}

impl Cause {
    /// The name in the timeline and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Released => "released",
            Self::Crashed => "crashed",
            Self::Expired => "expired",
            Self::Restarted => "restarted",
        }
    }
}

/// Why a leader gave its lease back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseReason {
    /// Its replica shuts down.
    Shutdown,
    /// It was asked to step down.
    Asked,
    /// Another replica reaches more of the polled hosts.
    Abdicated,
    /// Its replica starts anew with another configuration.
    Reconfigured,
    /// No renewal had succeeded until the deadline: it gave back what might still have been its own.
    Deadline,
    /// Another claim was in the record.
    Fenced,
}

impl ReleaseReason {
    /// The name in the timeline and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Asked => "asked",
            Self::Abdicated => "abdicated",
            Self::Reconfigured => "reconfigured",
            Self::Deadline => "deadline",
            Self::Fenced => "fenced",
        }
    }
}
