//! The polled backend. It numbers its answers, so that no two are alike, and records who asks.

mod connection;
mod contents;
mod failure;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::connection::{Caller, Listening};
use self::contents::Contents;
use self::failure::Failures;
use crate::address;
use crate::history::{Event, Function, History, Kind, hash};
use crate::run::Outcome;

pub(crate) use self::contents::{CALM, ENDPOINTS};
pub(crate) use self::failure::Failure;

/// A backend that serves [`ENDPOINTS`] at `/<endpoint>` until it is dropped.
pub(crate) struct Backend {
    desk: Arc<Desk>,
    _serving: JoinSet<()>,
}

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Poll {
    /// When, in µs since the run began.
    pub(crate) at: u64,
    /// The replica that polls.
    pub(crate) by: String,
    pub(crate) endpoint: String,
}

/// What all requests share.
struct Desk {
    history: History,
    contents: Mutex<Contents>,
    failures: Mutex<Failures>,
    polls: Mutex<Vec<Poll>>,
}

impl Backend {
    /// Serves at an address.
    pub(crate) fn start(history: &History, at: SocketAddr) -> Outcome<Self> {
        let listening = Listening::at(at)?;
        let desk = Arc::new(Desk {
            history: history.clone(),
            contents: Mutex::default(),
            failures: Mutex::default(),
            polls: Mutex::default(),
        });
        let routes = Router::new()
            .route("/{endpoint}", get(answer))
            .with_state(Arc::clone(&desk))
            .into_make_service_with_connect_info::<Caller>();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the task alone.
            axum::serve(listening, routes).await.ok();
        });
        Ok(Self { desk, _serving: serving })
    }

    /// Leaves all contents as they are from now on: every answer is then the same as the one before.
    pub(crate) fn hold(&self) {
        self.desk.contents.lock().hold();
    }

    /// Whether contents stay as they are.
    pub(crate) fn is_held(&self) -> bool {
        self.desk.contents.lock().is_held()
    }

    /// Lets contents change again.
    pub(crate) fn release(&self) {
        self.desk.contents.lock().release();
    }

    /// Takes all contents back to what they were when they were held, and holds them.
    pub(crate) fn go_back(&self) {
        self.desk.contents.lock().go_back();
    }

    /// Fails the polls of an endpoint that arrive from now on, in that way alone.
    pub(crate) fn fail(&self, endpoint: &str, failure: Failure) {
        self.desk.failures.lock().set(endpoint, failure);
    }

    /// Answers an endpoint well again.
    pub(crate) fn heal(&self, endpoint: &str) {
        self.desk.failures.lock().remove(endpoint);
    }

    /// Whether a poll of an endpoint has arrived at `t` or later.
    pub(crate) fn was_asked_since(&self, t: u64, endpoint: &str) -> bool {
        self.polls_since(t).iter().any(|poll| poll.endpoint == endpoint)
    }

    /// The polls that arrived at `t` or later, in µs since the run began, in the order of their arrival.
    pub(crate) fn polls_since(&self, t: u64) -> Vec<Poll> {
        let polls = self.desk.polls.lock();
        polls[polls.partition_point(|poll| poll.at < t)..].to_vec()
    }
}

async fn answer(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(caller): ConnectInfo<Caller>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
) -> Response {
    if !ENDPOINTS.contains(&endpoint.as_str()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut poll = desk.arrives(&caller, &endpoint);
    let failure = desk.failures.lock().of(&endpoint);
    if let Some(Failure::Slow(by)) = failure {
        sleep(by).await;
    }
    let answer = desk.contents.lock().answer(&endpoint);
    if let Some(failure) = failure.filter(|failure| !matches!(failure, Failure::Slow(_))) {
        return failure.answer(&answer.body, poll, &caller);
    }
    if let Some(etag) = &answer.etag
        && headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == **etag)
    {
        poll.is_answered(None);
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.clone())]).into_response();
    }
    let hash = hash(answer.body.as_bytes());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let length = [(header::CONTENT_LENGTH, answer.body.len())];
    let etag = answer.etag.map(|etag| AppendHeaders([(header::ETAG, etag)]));
    let body = stream::once(async move {
        poll.is_answered(Some(hash));
        Ok::<_, Infallible>(answer.body)
    });
    (json, length, etag, Body::from_stream(body)).into_response()
}

impl Desk {
    fn arrives(&self, caller: &Caller, endpoint: &str) -> Answering {
        let by = match address::name_of(caller.address.ip()) {
            Some(name) => name.to_owned(),
            None => caller.address.ip().to_string(),
        };
        let invoke = Event::new(&by, Kind::Invoke, Function::Poll).endpoint(endpoint);
        // Under the lock, so that they are in the order of their stamps.
        let mut polls = self.polls.lock();
        let at = self.history.record(invoke);
        polls.push(Poll { at, by: by.clone(), endpoint: endpoint.to_owned() });
        Answering {
            history: self.history.clone(),
            by,
            endpoint: endpoint.to_owned(),
            end: End::Left,
        }
    }
}

/// A poll that is being answered. How that ended is recorded when it is dropped.
struct Answering {
    history: History,
    by: String,
    endpoint: String,
    end: End,
}

enum End {
    /// The poller did not wait for the whole answer.
    Left,
    /// It was given a body with this hash, or a 304.
    Answered(Option<String>),
    /// It was failed on purpose.
    Failed(String),
}

impl Answering {
    /// All has been handed over.
    fn is_answered(&mut self, hash: Option<String>) {
        self.end = End::Answered(hash);
    }

    /// It is failed on purpose, whatever of the answer arrives.
    fn fails(&mut self, how: &str) {
        self.end = End::Failed(how.to_owned());
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let event = |kind| Event::new(&self.by, kind, Function::Poll).endpoint(&self.endpoint);
        self.history.record(match &self.end {
            End::Left => event(Kind::Fail).error("the poller left"),
            End::Answered(Some(hash)) => event(Kind::Ok).hash(hash.clone()),
            End::Answered(None) => event(Kind::Ok),
            End::Failed(how) => event(Kind::Fail).error(how),
        });
    }
}
