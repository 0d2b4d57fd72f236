//! The sample backend: the kind of HTTP server that Pollux is made for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use fastrand::Rng;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::sample::{self, Sample};
use super::{DemoError, FAREWELL};
use crate::http;

/// How often the data goes on by a step.
const STEP: Duration = Duration::from_millis(500);

/// The sample backend alone, for replicas in other processes, with its port open, ready to run.
pub struct SampleBackend {
    address: SocketAddr,
    listener: TcpListener,
}

impl SampleBackend {
    /// What it serves, each at the path of its name.
    pub const NAMES: [&str; 4] =
        [sample::PRICES, sample::DEPARTURES, sample::WEATHER, sample::STATUS];

    /// Opens its port; 0 stands for any free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn open(address: SocketAddr) -> Result<Self, DemoError> {
        let listener = http::bind(address, "--backend").await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves data that changes, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let backend = Arc::new(Backend::new());
        let routes = router(Arc::clone(&backend));
        let serving = http::serve(self.listener, routes, FAREWELL, shutdown.clone());
        tokio::join!(serving, backend.change(shutdown));
    }
}

/// Data that changes, and a count of who asked for it.
pub(super) struct Backend {
    sample: Mutex<Sample>,
    requests: AtomicU64,
    unchanged: AtomicU64,
}

/// What a backend has had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// The requests it got.
    pub(super) requests: u64,
    /// Those of them that it answered with 304.
    pub(super) unchanged: u64,
}

impl Backend {
    /// A backend that nobody has asked yet.
    pub(super) fn new() -> Self {
        Self {
            sample: Mutex::new(Sample::new(Rng::new())),
            requests: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
        }
    }

    /// Changes the data until `shutdown`.
    pub(super) async fn change(&self, shutdown: CancellationToken) {
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while shutdown.run_until_cancelled(steps.tick()).await.is_some() {
            self.sample.lock().step();
        }
    }

    /// What it has had to do so far.
    pub(super) fn load(&self) -> Load {
        Load { requests: self.requests.load(Relaxed), unchanged: self.unchanged.load(Relaxed) }
    }
}

/// The backend's routes.
pub(super) fn router(backend: Arc<Backend>) -> Router {
    Router::new().route("/{name}", get(answer)).with_state(backend)
}

async fn answer(
    State(backend): State<Arc<Backend>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    backend.requests.fetch_add(1, Relaxed);
    let Some(body) = backend.sample.lock().body(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{:016x}\"", xxh3_64(&body));
    let known = headers.get(header::IF_NONE_MATCH);
    let known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let tag = [(header::ETAG, tag)];
    if known {
        backend.unchanged.fetch_add(1, Relaxed);
        return (StatusCode::NOT_MODIFIED, tag).into_response();
    }
    (tag, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    async fn ask(backend: &Arc<Backend>, tag: Option<HeaderValue>) -> Response {
        let headers = tag.map(|tag| (header::IF_NONE_MATCH, tag)).into_iter().collect();
        answer(State(Arc::clone(backend)), Path("status".into()), headers).await
    }

    #[tokio::test]
    async fn who_has_the_newest_gets_a_304_and_is_counted() {
        let backend = Arc::new(Backend::new());
        let first = ask(&backend, None).await;
        assert_eq!(first.status(), StatusCode::OK);
        let again = ask(&backend, first.headers().get(header::ETAG).cloned()).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(backend.load(), Load { requests: 2, unchanged: 1 });
    }
}
