/// Why the store gave no answer, told apart by what a person would do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// No answer in time: the store is slow, paused, or packets are lost.
    Timeout,
    /// No connection, or it broke: the store is down or the address wrong.
    Refused,
    /// Wrong user name or password.
    Auth,
    /// The user's ACL lacks a permission.
    NoPerm,
    /// The server takes no writes: it is a replica, or has fewer of them than it must.
    ReadOnly,
    /// The server reads its data from disk.
    Loading,
    /// The server runs a script for long.
    Busy,
    /// The server is full.
    Oom,
    /// The server does not hold the key.
    Moved,
    /// Anything else, a server that is not Redis among it.
    Other,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Refused,
        Self::Auth,
        Self::NoPerm,
        Self::ReadOnly,
        Self::Loading,
        Self::Busy,
        Self::Oom,
        Self::Moved,
        Self::Other,
    ];

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Auth => "auth",
            Self::NoPerm => "noperm",
            Self::ReadOnly => "readonly",
            Self::Loading => "loading",
            Self::Busy => "busy",
            Self::Oom => "oom",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }
}

/// The store gave no answer; whether the request took effect is unknown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// What kind of failure it was.
    pub kind: FailureKind,
    /// What happened, where, and what to do.
    pub message: String,
}
