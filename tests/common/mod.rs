//! Real servers, real processes and real clients for the tests.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

pub mod certificates;
pub mod client;
pub mod history;
pub mod machine;
pub mod nginx;
pub mod process;
pub mod proxy;
pub mod redis_cluster;
pub mod redis_server;
pub mod replica;
pub mod sentinel;
pub mod tls_server;

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Waits until `condition` yields something; panics with `what` when it does not in time.
pub async fn eventually<T, F>(within: Duration, what: &str, mut condition: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(GLANCE).await;
    }
}

/// An HTTP client that keeps to this machine.
pub fn http() -> reqwest::Client {
    // An error means that it is installed already.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// Whether a test must be skipped, since `program` is not installed. tests/run installs all there
/// is to be, and from there nothing is skipped.
pub fn is_missing(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).any(|at| at.join(program).is_file());
    if !installed {
        let complete = std::env::var_os("POLLUX_TESTS_COMPLETE").is_some();
        assert!(!complete, "{program} is not installed");
        eprintln!("SKIPPED: {program} is not installed; tests/run installs it");
    }
    !installed
}

/// A port that was free a moment ago, for servers that cannot choose one themselves.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
