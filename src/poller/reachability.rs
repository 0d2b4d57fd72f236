//! How many of the polled hosts this replica can connect to.
//!
//! Every replica that polls finds out in the same way, whether it leads or not, so that the counts
//! compare: it resolves the name and opens a TCP connection as a poll does, and closes it without
//! a request, so that nothing is polled twice. For each host that is one connection per replica
//! and round, however many endpoints it has.
//!
//! Where a proxy accepts connections for others, as a service mesh's does, it stands for them.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Uri;
use futures_util::future::join_all;
use hyper::service::Service as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::service::TowerToHyperService;
use tokio::time::{Instant, sleep_until, timeout};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::EndpointConfig;
use crate::store::Hosts;

/// How many hosts are tried at the most: as many tell whether a replica is cut off, and where no
/// name can be resolved any more, not too many lookups hang at once.
const MOST_HOSTS: usize = 50;

/// Counts the polled hosts that can be connected to.
#[derive(Debug)]
pub struct Reachability {
    hosts: Vec<Host>,
}

/// One scheme, host and port.
#[derive(Debug)]
struct Host {
    address: Uri,
    /// The longest `connect_timeout` of its endpoints.
    timeout: Duration,
    connector: TowerToHyperService<HttpConnector>,
}

impl Reachability {
    /// Prepares to connect to the hosts of `endpoints`. Of more than fifty it takes a sample that
    /// depends on nothing but their addresses, so every replica takes the same.
    pub fn new(endpoints: &[EndpointConfig]) -> Self {
        let mut timeouts = BTreeMap::<String, Duration>::new();
        for endpoint in endpoints {
            let longest = timeouts.entry(endpoint.url.origin().ascii_serialization()).or_default();
            *longest = endpoint.connect_timeout.max(*longest);
        }
        let mut origins: Vec<(String, Duration)> = timeouts.into_iter().collect();
        origins.sort_by_cached_key(|(origin, _)| xxh3_64(origin.as_bytes()));
        origins.truncate(MOST_HOSTS);
        let host = |(origin, timeout): (String, Duration)| Host::new(&origin, timeout);
        Self { hosts: origins.into_iter().filter_map(host).collect() }
    }

    /// How many hosts are tried.
    pub fn checked(&self) -> u32 {
        u32::try_from(self.hosts.len()).unwrap_or(u32::MAX)
    }

    /// Tries every host once, within `round`. The tries begin evenly spread over the first half of
    /// it, and each may take as long as the other half, or its `connect_timeout` if that is less.
    pub async fn count(&self, round: Duration) -> Hosts {
        let (start, half) = (Instant::now(), round / 2);
        let pace = half / self.checked().max(1);
        let tries = self.hosts.iter().zip(0..).map(|(host, turn)| async move {
            sleep_until(start + pace * turn).await;
            host.can_be_connected_to(half).await
        });
        let reachable = join_all(tries).await.into_iter().map(u32::from).sum();
        Hosts { reachable, checked: self.checked() }
    }
}

impl Host {
    /// `None` for an address that no request could be sent to either.
    fn new(origin: &str, timeout: Duration) -> Option<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        // Shared by all addresses of a name: one that does not answer leaves time for the next.
        connector.set_connect_timeout(Some(timeout));
        let connector = TowerToHyperService::new(connector);
        Some(Self { address: origin.parse().ok()?, timeout, connector })
    }

    async fn can_be_connected_to(&self, limit: Duration) -> bool {
        let connecting = self.connector.call(self.address.clone());
        let failure = match timeout(limit.min(self.timeout), connecting).await {
            Ok(Ok(_connection)) => return true,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::debug!(host = %self.address, failure, "cannot connect to a polled host");
        false
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::{TcpListener, TcpSocket, TcpStream};
    use url::Url;

    use super::*;
    use crate::config::Expectation;
    use crate::model::EndpointName;

    fn endpoint(url: &str) -> EndpointConfig {
        let second = Duration::from_secs(1);
        EndpointConfig {
            name: EndpointName::new("a").unwrap(),
            url: Url::parse(url).unwrap(),
            every: second,
            timeout: second,
            connect_timeout: second,
            max_body: 1,
            stale_after: second,
            headers: Vec::new(),
            expect: Expectation::Json,
        }
    }

    fn endpoints(urls: &[String]) -> Vec<EndpointConfig> {
        urls.iter().map(|url| endpoint(url)).collect()
    }

    fn addresses(reachability: &Reachability) -> Vec<String> {
        reachability.hosts.iter().map(|host| host.address.to_string()).collect()
    }

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// A listener that answers no further connection, with those that it does not take.
    async fn overrun() -> (TcpListener, SocketAddr, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (listener, mut waiting) = (socket.listen(1).unwrap(), Vec::new());
        let address = listener.local_addr().unwrap();
        let patience = Duration::from_millis(200);
        while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        (listener, address, waiting)
    }

    const ROUND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn hosts_that_refuse_or_do_not_answer_are_not_reachable() {
        let (_listener, open) = listen().await;
        let (closed_listener, closed) = listen().await;
        drop(closed_listener);
        let (_silent_listener, silent, _waiting) = overrun().await;
        let urls = [open, closed, silent].map(|address| format!("http://{address}/"));
        let start = Instant::now();
        let hosts = Reachability::new(&endpoints(&urls)).count(ROUND).await;
        assert_eq!(hosts, Hosts { reachable: 1, checked: 3 });
        assert!(start.elapsed() < ROUND + Duration::from_millis(300), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_is_not_reachable() {
        let urls = ["http://no-such-host.invalid/".to_owned()];
        let hosts = Reachability::new(&endpoints(&urls)).count(ROUND).await;
        assert_eq!(hosts, Hosts { reachable: 0, checked: 1 });
    }

    #[tokio::test]
    async fn a_host_is_connected_to_once_whatever_its_endpoints_and_sent_nothing() {
        let (listener, address) = listen().await;
        let port = address.port();
        let urls = ["/a", "/b?c", "/d"].map(|path| format!("http://localhost:{port}{path}"));
        let hosts = Reachability::new(&endpoints(&urls)).count(ROUND).await;
        assert_eq!(hosts, Hosts { reachable: 1, checked: 1 });
        let (mut connection, _) = listener.accept().await.unwrap();
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 0);
        assert!(timeout(Duration::ZERO, listener.accept()).await.is_err());
    }

    #[tokio::test]
    async fn the_tries_are_spread_over_half_the_round() {
        let mut listeners = Vec::new();
        for _ in 0..4 {
            listeners.push(listen().await);
        }
        let urls: Vec<_> = listeners.iter().map(|(_, at)| format!("http://{at}/")).collect();
        let start = Instant::now();
        Reachability::new(&endpoints(&urls)).count(ROUND).await;
        // Three pauses between four tries.
        assert!(start.elapsed() >= ROUND / 2 / 4 * 3, "{:?}", start.elapsed());
    }

    #[test]
    fn hosts_differ_by_scheme_name_and_port() {
        let urls = ["http://a/x", "http://a:80/y", "https://a/", "http://a:81/", "http://[::1]/"];
        let mut found = addresses(&Reachability::new(&endpoints(&urls.map(str::to_owned))));
        found.sort();
        assert_eq!(found, ["http://[::1]/", "http://a/", "http://a:81/", "https://a/"]);
    }

    #[test]
    fn the_sample_of_many_hosts_is_the_same_in_whatever_order_they_are_configured() {
        let mut urls: Vec<_> = (0..200).map(|host| format!("http://host-{host}/")).collect();
        let sample = addresses(&Reachability::new(&endpoints(&urls)));
        urls.reverse();
        assert_eq!(addresses(&Reachability::new(&endpoints(&urls))), sample);
        assert_eq!(sample.len(), MOST_HOSTS);
    }

    #[test]
    fn a_host_is_given_the_longest_time_of_its_endpoints() {
        let mut two = endpoints(&["http://a/x".to_owned(), "http://a/y".to_owned()]);
        two[0].connect_timeout = Duration::from_secs(3);
        assert_eq!(Reachability::new(&two).hosts[0].timeout, Duration::from_secs(3));
    }
}
