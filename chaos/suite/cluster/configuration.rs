//! The configuration of a replica, as a file.

use std::net::Ipv4Addr;
use std::path::Path;

use super::names;
use super::redis::{PLAIN_PORT, SENTINEL_PORT, TLS_PORT, sentinel::MASTER};
use crate::address::{self, BACKEND};
use crate::backend::ENDPOINTS;
use crate::fault::{Layout, RedisLayout};
use crate::run::{Endpoint, Timing};

/// How the cluster is called.
pub(super) const CLUSTER: &str = "chaos";
pub(super) const BACKEND_PORT: u16 = 8000;
pub(super) const GATEWAY_PORT: u16 = 8080;
pub(super) const ADMIN_PORT: u16 = 9090;
/// How often each of the backend's endpoints is polled.
const EVERY_MS: [u64; ENDPOINTS.len()] = [100, 250, 500, 1000];
/// After which time without a good check an endpoint is stale, in ms: the default of all of them.
pub(super) const STALE_AFTER_MS: u64 = 3000;

/// What a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Poller,
    Gateway,
}

impl Role {
    /// As the command line has it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Poller => "poller",
            Self::Gateway => "gateway",
        }
    }
}

/// The endpoints of every run.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let endpoint = |(name, every_ms): (&str, u64)| Endpoint {
        name: name.to_owned(),
        every_ms,
        stale_after_ms: STALE_AFTER_MS,
    };
    ENDPOINTS.into_iter().zip(EVERY_MS).map(endpoint).collect()
}

/// All that one replica is told.
pub(super) fn yaml(
    name: &str,
    role: Role,
    layout: &Layout,
    timing: &Timing,
    secrets: &Path,
) -> String {
    let Timing { lease_ms, deadline_ms, retry_ms } = timing;
    let redis = redis(name, role, layout, secrets);
    let own = address::of(name).unwrap_or(Ipv4Addr::UNSPECIFIED);
    let backend = if layout.named { names::BACKEND.to_owned() } else { BACKEND.to_string() };
    let mut yaml = format!(
        "cluster: {CLUSTER}\naddress: \"http://{own}:{ADMIN_PORT}\"\nredis:\n{redis}\
         lease: {{ duration: {lease_ms}ms, renew_deadline: {deadline_ms}ms, retry_period: {retry_ms}ms }}\n\
         history: {}\ndrain: 5s\n\
         gateway: {{ listen: \"0.0.0.0:{GATEWAY_PORT}\" }}\n\
         admin: {{ listen: \"0.0.0.0:{ADMIN_PORT}\" }}\n\
         defaults: {{ timeout: 2s, max_body: 64KiB }}\nendpoints:\n",
        layout.history,
    );
    for Endpoint { name, every_ms, .. } in endpoints() {
        let url = format!("http://{backend}:{BACKEND_PORT}/{name}");
        let line = format!("  - {{ name: {name}, url: \"{url}\", every: {every_ms}ms }}\n");
        yaml.push_str(&line);
    }
    yaml
}

fn redis(name: &str, role: Role, layout: &Layout, secrets: &Path) -> String {
    let listed = |names: &[&str], port: u16| {
        let nodes = names.iter().filter_map(|name| address::of(name));
        nodes.map(|node| format!("\"{node}:{port}\"")).collect::<Vec<String>>().join(", ")
    };
    match layout.redis {
        RedisLayout::Sentinel => {
            let nodes = listed(&["sentinel-1", "sentinel-2", "sentinel-3"], SENTINEL_PORT);
            format!("  sentinel: {{ master: {MASTER}, nodes: [{nodes}] }}\n")
        }
        RedisLayout::Cluster => {
            let nodes = listed(&["redis-1", "redis-2", "redis-3"], PLAIN_PORT);
            format!("  cluster: [{nodes}]\n")
        }
        RedisLayout::Single => {
            let host = if layout.named {
                names::redis_for(name)
            } else {
                redis_of(name, layout.proxied).to_string()
            };
            if !layout.guarded {
                return format!("  url: \"redis://{host}:{PLAIN_PORT}\"\n");
            }
            let (secrets, role) = (secrets.display(), role.word());
            format!(
                "  url: \"rediss://{host}:{TLS_PORT}\"\n  username: pollux-{role}\n  \
                 password: \"${{file:{secrets}/{role}.password}}\"\n  \
                 tls: {{ ca: \"{secrets}/ca.pem\" }}\n"
            )
        }
    }
}

/// Where a replica finds the one Redis: there, or at its own proxy.
pub(super) fn redis_of(name: &str, proxied: bool) -> Ipv4Addr {
    let at = if proxied { address::of_proxy(name) } else { address::of("redis-1") };
    at.unwrap_or(Ipv4Addr::UNSPECIFIED)
}
