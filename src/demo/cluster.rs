//! The settings of the demo's cluster.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use url::Url;

use super::DemoError;
use super::sample;
use crate::config::{AdminConfig, Config, EndpointConfig, Expectation, GatewayConfig, LeaseConfig};
use crate::model::{ClusterName, EndpointName};

/// A port of this machine that the system chooses.
pub(super) const ANY_PORT: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// The replicas, after stars of Gemini, as Pollux is.
pub(super) const REPLICAS: [&str; 3] = ["castor", "alhena", "tejat"];
/// The replica that serves clients.
pub(super) const GATEWAY: &str = "gateway";

/// Shorter than the defaults: who watches a crash need not wait, and no network is in between.
pub(super) const LEASE: LeaseConfig = LeaseConfig {
    duration: Duration::from_secs(2),
    renew_deadline: Duration::from_millis(1500),
    retry_period: Duration::from_millis(500),
    crash_probe: Some(Duration::from_millis(100)),
};

/// Room for all simulated readers and for pages beside them.
const MOST_STREAMS: usize = 2000;
/// Everything is on one machine: whoever takes longer to leave hangs.
const DRAIN: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const MAX_BODY: u64 = 64 * 1024;

/// What is polled: the name, the interval, and the age from which it is stale, both in ms. The
/// ages are short enough for a takeover to show.
const ENDPOINTS: [(&str, u64, u64); 4] = [
    (sample::PRICES, 500, 1500),
    (sample::DEPARTURES, 1000, 2000),
    (sample::WEATHER, 2000, 4000),
    (sample::STATUS, 4000, 8000),
];

/// The endpoints of the backend at an address.
pub(super) fn endpoints(backend: SocketAddr) -> Result<Vec<EndpointConfig>, DemoError> {
    let endpoint = |(name, every, stale_after): (&str, u64, u64)| {
        Ok(EndpointConfig {
            name: EndpointName::new(name)?,
            url: Url::parse(&format!("http://{backend}/{name}"))?,
            every: Duration::from_millis(every),
            timeout: TIMEOUT.min(Duration::from_millis(every)),
            connect_timeout: TIMEOUT,
            max_body: MAX_BODY,
            stale_after: Duration::from_millis(stale_after),
            headers: Vec::new(),
            expect: Expectation::Json,
        })
    };
    ENDPOINTS.into_iter().map(endpoint).collect()
}

/// The configuration of one replica; only the gateway listens at `listen`.
pub(super) fn config(
    replica: &str,
    listen: SocketAddr,
    endpoints: Vec<EndpointConfig>,
) -> Result<Config, DemoError> {
    Ok(Config {
        cluster: ClusterName::new("demo")?,
        replica: replica.to_owned(),
        address: format!("http://{ANY_PORT}"),
        redis: None,
        lease: LEASE,
        history: 0,
        endpoints,
        gateway: GatewayConfig { listen, max_streams: MOST_STREAMS },
        admin: AdminConfig { token: None, listen: ANY_PORT },
        traces: None,
        drain: DRAIN,
    })
}
