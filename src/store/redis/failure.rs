use std::error::Error;
use std::io;
use std::sync::Arc;

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
        "READONLY" | "NOREPLICAS" => FailureKind::ReadOnly,
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

/// Whom a failure is of: what to do about it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// The server at the configured address.
    Server,
    /// The master that Sentinel named.
    Master,
    /// The owner of the slot in a Redis Cluster.
    Owner,
    /// The sentinels.
    Sentinels,
    /// The servers of a Redis Cluster that are asked for the owner.
    Nodes,
}

impl Advice {
    /// What messages call it.
    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Server | Self::Master | Self::Owner => "Redis",
            Self::Sentinels => "Sentinel names no master",
            Self::Nodes => "Redis Cluster names no owner of the keys",
        }
    }

    fn on(self, kind: FailureKind) -> &'static str {
        match (kind, self) {
            (FailureKind::Timeout, _) => "it is paused, overloaded, or packets are lost",
            (FailureKind::Refused, Self::Server) => {
                "check that it runs and that redis.url is right"
            }
            (FailureKind::Refused, Self::Master | Self::Owner) => {
                "check that it runs; until it does, or another takes its place, Pollux waits"
            }
            (FailureKind::Refused | FailureKind::Other, Self::Sentinels) => {
                "check that they run and that redis.sentinel is right"
            }
            (FailureKind::Refused | FailureKind::Other, Self::Nodes) => {
                "check that they run as a Redis Cluster and that redis.cluster is right"
            }
            (FailureKind::Auth, _) => "check redis.username and redis.password",
            (FailureKind::NoPerm, _) => "allow the command, key or channel in the user's ACL",
            (FailureKind::ReadOnly, Self::Server) => {
                "it takes no writes: redis.url must name a primary that does"
            }
            (FailureKind::ReadOnly, _) => {
                "it takes no writes: Pollux waits until a master that does is named"
            }
            (FailureKind::Loading, _) => "it reads its data from disk and will answer when done",
            (FailureKind::Busy, _) => "a script runs there for long: SCRIPT KILL ends it",
            (FailureKind::Oom, _) => "it is full: raise maxmemory or free some",
            (FailureKind::Moved, Self::Owner | Self::Nodes) => {
                "the slot moves, or the cluster is not whole: see CLUSTER INFO"
            }
            (FailureKind::Moved, _) => {
                "it is one of a Redis Cluster: name its servers in redis.cluster"
            }
            (FailureKind::Other, Self::Server) => "check that redis.url names a Redis 7.0 or newer",
            (FailureKind::Other, Self::Master | Self::Owner) => {
                "check that it is a Redis 7.0 or newer"
            }
        }
    }
}

/// Says what happened, where, and what to do.
pub(super) fn describe(
    kind: FailureKind,
    advice: Advice,
    place: &str,
    cause: &dyn std::fmt::Display,
) -> StoreError {
    StoreError { kind, message: format!("{place}: {cause} ({})", advice.on(kind)) }
}

/// The failure that a reply or a broken connection amounts to.
pub(super) fn classify(advice: Advice, place: &str, error: &RedisError) -> StoreError {
    if is_of_tls(error) {
        let message =
            format!("{place}: {error} (check redis.tls, the server's certificate, and the clock)");
        return StoreError { kind: FailureKind::Refused, message };
    }
    describe(kind_of(error), advice, place, error)
}

/// Whether TLS itself failed, not what it was to carry.
fn is_of_tls(error: &RedisError) -> bool {
    // redis-rs shares its causes, and an I/O error passes over its own: neither shows by `source`.
    let shared = error.source().and_then(<dyn Error>::downcast_ref::<Arc<dyn Error + Send + Sync>>);
    let cause = shared.map(|cause| &**cause);
    let of_io = cause.and_then(|cause| cause.downcast_ref::<io::Error>()?.get_ref());
    [cause, of_io].into_iter().flatten().any(|cause| cause.is::<rustls::Error>())
}
