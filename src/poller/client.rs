//! The HTTP clients: how Pollux connects, and whom it trusts.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

/// How long an unused connection is kept: longer than most intervals, so that polls reuse it.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// How many unused connections are kept per host.
const POOL_SIZE: usize = 64;
/// How often an HTTP/2 connection is asked whether it still works. Without this, one that died
/// silently takes every poll of its host into the timeout.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long such a question may stay unanswered.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Whose certificates a client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Those that the system's roots vouch for.
    SystemRoots,
    /// None: no endpoint uses https, so a system without roots is no hindrance.
    Nobody,
}

/// Builds a client; connections are shared among all its requests.
pub(super) fn build(connect_timeout: Duration, trust: Trust) -> Result<Client, reqwest::Error> {
    let client = Client::builder()
        .user_agent(concat!("Pollux/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_timeout)
        .dns_resolver(SystemResolver)
        // Each one is a request of its own, to be judged and traced.
        .redirect(Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(POOL_SIZE)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .http2_keep_alive_while_idle(true);
    trusting(client, trust).build()
}

fn trusting(client: ClientBuilder, trust: Trust) -> ClientBuilder {
    match trust {
        Trust::SystemRoots => client,
        Trust::Nobody => client.tls_certs_only([]),
    }
}

/// A name without an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResolveError {
    /// The system's resolver failed, or knows no such name.
    #[error("{0}")]
    Failed(#[from] std::io::Error),
    /// The name exists but has no address.
    #[error("the name has no address")]
    Empty,
}

/// The system's resolver, with errors that can be told from others.
struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is set by the connector.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let addresses: Vec<SocketAddr> = found.map_err(ResolveError::Failed)?.collect();
            if addresses.is_empty() {
                return Err(ResolveError::Empty.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
