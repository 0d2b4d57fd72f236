use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::{FailureKind, StoreError};

/// Tells apart what Redis, or the way to it, answered.
pub(super) fn kind_of(error: &RedisError) -> FailureKind {
    let by_code =
        error.code().and_then(|code| kind_of_code(code, error.detail().unwrap_or_default()));
    match (by_code, error.kind()) {
        (Some(kind), _) => kind,
        (None, ErrorKind::AuthenticationFailed) => FailureKind::Auth,
        (None, ErrorKind::Server(ServerErrorKind::ReadOnly)) => FailureKind::ReadOnly,
        (None, ErrorKind::Server(ServerErrorKind::BusyLoading)) => FailureKind::Loading,
        (None, ErrorKind::Server(ServerErrorKind::NoPerm)) => FailureKind::NoPerm,
        (None, ErrorKind::Server(ServerErrorKind::Moved)) => FailureKind::Moved,
        (None, _) if error.is_timeout() => FailureKind::Timeout,
        (None, ErrorKind::Io) => FailureKind::Refused,
        (None, _) => FailureKind::Other,
    }
}

/// What servers from 7.0 and from 7.2 on say under `ERR` when a script lacks a permission.
const SCRIPT_LACKS_PERMISSION: [&str; 2] =
    ["The user executing the script can't", "ACL failure in script"];

/// By the first word of an error reply. Servers before 7.0 wrap a script's error in `ERR`.
fn kind_of_code(code: &str, detail: &str) -> Option<FailureKind> {
    let kind = match code {
        "NOAUTH" | "WRONGPASS" => FailureKind::Auth,
        "NOPERM" => FailureKind::NoPerm,
        "READONLY" => FailureKind::ReadOnly,
        "LOADING" | "MASTERDOWN" => FailureKind::Loading,
        "BUSY" => FailureKind::Busy,
        "OOM" => FailureKind::Oom,
        "MOVED" | "ASK" | "CLUSTERDOWN" | "TRYAGAIN" => FailureKind::Moved,
        _ if detail.contains("-OOM") => FailureKind::Oom,
        _ if detail.contains("-READONLY") => FailureKind::ReadOnly,
        _ if detail.contains("-NOPERM") => FailureKind::NoPerm,
        _ if SCRIPT_LACKS_PERMISSION.iter().any(|words| detail.contains(words)) => {
            FailureKind::NoPerm
        }
        _ => return None,
    };
    Some(kind)
}

/// Says what happened, where, and what to do.
pub(super) fn describe(
    kind: FailureKind,
    place: &str,
    cause: &dyn std::fmt::Display,
) -> StoreError {
    let advice = match kind {
        FailureKind::Timeout => "it is paused, overloaded, or packets are lost",
        FailureKind::Refused => "check that it runs and that redis.url is right",
        FailureKind::Auth => "check redis.username and redis.password",
        FailureKind::NoPerm => "allow the command, key or channel in the user's ACL",
        FailureKind::ReadOnly => "it is a replica: redis.url must name the primary",
        FailureKind::Loading => "it reads its data from disk and will answer when done",
        FailureKind::Busy => "a script runs there for long: SCRIPT KILL ends it",
        FailureKind::Oom => "it is full: raise maxmemory or free some",
        FailureKind::Moved => "it does not hold the keys: redis.url must name the server that does",
        FailureKind::Other => "check that redis.url names a Redis 7.0 or newer",
    };
    StoreError { kind, message: format!("Redis at {place}: {cause} ({advice})") }
}

/// The failure that a reply or a broken connection amounts to.
pub(super) fn classify(place: &str, error: &RedisError) -> StoreError {
    describe(kind_of(error), place, error)
}
