use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::common::eventually;

/// A backend that answers every endpoint with the same text, knows its ETag, and notes who asks.
pub(crate) struct Backend {
    address: String,
    seen: Arc<Seen>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    text: Mutex<String>,
    polls: Mutex<Vec<Poll>>,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Poll {
    pub(crate) at: Instant,
    /// The replica's name, which is in the address that it polls.
    pub(crate) by: String,
    pub(crate) endpoint: String,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let seen = Arc::new(Seen::default());
        let routes = Router::new().route("/{name}", get(answer)).with_state(Arc::clone(&seen));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        Self { address, seen, _serving: serving }
    }

    /// Where `replica` polls an endpoint.
    pub(crate) fn url(&self, endpoint: &str, replica: &str) -> String {
        format!("http://{}/{endpoint}?by={replica}", self.address)
    }

    /// What all endpoints answer from now on.
    pub(crate) fn say(&self, text: &str) {
        text.clone_into(&mut self.seen.text.lock());
    }

    pub(crate) fn polls_since(&self, since: Instant) -> Vec<Poll> {
        let polls = self.seen.polls.lock();
        polls.iter().filter(|poll| poll.at >= since).cloned().collect()
    }

    /// Who polled since then, each once, in the order of their first polls.
    pub(crate) fn pollers_since(&self, since: Instant) -> Vec<String> {
        let mut pollers = Vec::new();
        for poll in self.polls_since(since) {
            if !pollers.contains(&poll.by) {
                pollers.push(poll.by);
            }
        }
        pollers
    }

    /// The first poll since then by another replica than `former`.
    pub(crate) async fn first_poll_of_another(
        &self,
        former: &str,
        since: Instant,
        within: Duration,
    ) -> Poll {
        eventually(within, "another replica polls", || async {
            self.polls_since(since).into_iter().find(|poll| poll.by != former)
        })
        .await
    }

    /// The spans from each poll of an endpoint since then to its next, the longest last.
    pub(crate) fn pauses_since(&self, since: Instant, endpoint: &str) -> Vec<Duration> {
        let polls = self.polls_since(since);
        let times: Vec<Instant> =
            polls.iter().filter(|poll| poll.endpoint == endpoint).map(|poll| poll.at).collect();
        let mut pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        pauses.sort();
        pauses
    }
}

async fn answer(
    State(seen): State<Arc<Seen>>,
    Path(endpoint): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let by = query.get("by").cloned().unwrap_or_default();
    seen.polls.lock().push(Poll { at: Instant::now(), by, endpoint: endpoint.clone() });
    let body = serde_json::json!({ "endpoint": endpoint, "text": *seen.text.lock() }).to_string();
    let etag = format!("\"{:x}\"", xxhash_rust::xxh3::xxh3_64(body.as_bytes()));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == *etag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, etag)];
    (headers, body).into_response()
}
