//! A backend whose data never change, and which notes every request.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const ETAG: &str = "\"unchanged\"";

/// A listening backend; it ends when dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<Request>>,
    broken: Mutex<HashSet<String>>,
    busy: Mutex<HashMap<String, u64>>,
}

/// One request, as it arrived and was answered.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) endpoint: String,
    pub(crate) status: StatusCode,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Seen::default());
        let routes = Router::new().route("/{endpoint}", get(answer)).with_state(Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, seen, _serving: serving }
    }

    pub(crate) fn url(&self, endpoint: &str) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// Lets an endpoint answer 500 from now on, or no longer.
    pub(crate) fn set_broken(&self, endpoint: &str, broken: bool) {
        let mut all = self.seen.broken.lock();
        match broken {
            true => all.insert(endpoint.to_owned()),
            false => all.remove(endpoint),
        };
    }

    /// Lets an endpoint answer 503 and ask for so many seconds of rest from now on, or no longer.
    pub(crate) fn set_busy(&self, endpoint: &str, seconds: Option<u64>) {
        let mut all = self.seen.busy.lock();
        match seconds {
            Some(seconds) => all.insert(endpoint.to_owned(), seconds),
            None => all.remove(endpoint),
        };
    }

    /// All requests, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().clone()
    }

    /// How many requests there were.
    pub(crate) fn count(&self) -> usize {
        self.seen.requests.lock().len()
    }

    /// When an endpoint was asked for.
    pub(crate) fn requests_of(&self, endpoint: &str) -> Vec<Instant> {
        let requests = self.seen.requests.lock();
        requests.iter().filter(|one| one.endpoint == endpoint).map(|one| one.at).collect()
    }
}

async fn answer(
    State(seen): State<Arc<Seen>>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Response {
    let at = Instant::now();
    let rest = seen.busy.lock().get(&endpoint).copied();
    if let Some(seconds) = rest {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        seen.requests.lock().push(Request { at, endpoint, status });
        return (status, [(header::RETRY_AFTER, seconds.to_string())]).into_response();
    }
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|etag| etag == ETAG);
    let status = match (seen.broken.lock().contains(&endpoint), known) {
        (true, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (false, true) => StatusCode::NOT_MODIFIED,
        (false, false) => StatusCode::OK,
    };
    let body = if status == StatusCode::OK {
        format!("{{\"name\":\"{endpoint}\"}}")
    } else {
        String::new()
    };
    seen.requests.lock().push(Request { at, endpoint, status });
    (status, [(header::ETAG, ETAG), (header::CONTENT_TYPE, "application/json")], body)
        .into_response()
}
