//! The polled backend: one for all clusters, it notes who asked when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// One request of a candidate.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub at: Instant,
    pub candidate: usize,
}

/// The requests of one cluster, in the order of their arrival.
#[derive(Default)]
pub(crate) struct Journal {
    requests: Mutex<Vec<Request>>,
}

impl Journal {
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The newest request that `wanted` accepts.
    pub(crate) fn last(&self, wanted: impl Fn(&Request) -> bool) -> Option<Request> {
        self.requests.lock().expect("no panic").iter().rev().copied().find(wanted)
    }
}

type Journals = Arc<Mutex<HashMap<String, Weak<Journal>>>>;

/// Answers `/<cluster>/<candidate>`, always the same.
pub(crate) struct Backend {
    address: String,
    journals: Journals,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let journals = Journals::default();
        let routes = Router::new()
            .route("/{cluster}/{candidate}", get(answer))
            .with_state(Arc::clone(&journals));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, journals }
    }

    /// Begins to note the requests of a cluster.
    pub(crate) fn journal(&self, cluster: &str) -> Arc<Journal> {
        let journal = Arc::default();
        let mut journals = self.journals.lock().expect("no panic");
        journals.insert(cluster.to_owned(), Arc::downgrade(&journal));
        journal
    }

    /// The URL that a candidate polls.
    pub(crate) fn url(&self, cluster: &str, candidate: usize) -> String {
        format!("http://{}/{cluster}/{candidate}", self.address)
    }
}

async fn answer(
    State(journals): State<Journals>,
    Path((cluster, candidate)): Path<(String, usize)>,
) -> &'static str {
    let journal = journals.lock().expect("no panic").get(&cluster).and_then(Weak::upgrade);
    if let Some(journal) = journal {
        let mut requests = journal.requests.lock().expect("no panic");
        requests.push(Request { at: Instant::now(), candidate });
    }
    "{}"
}
