use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{EndpointConfig, Expectation, LeaseConfig};
use crate::election::{Elector, Identity};
use crate::model::{Body, ClusterName, EndpointName, Update};
use crate::poller::{
    Fetch, Fetched, Plan, PollFailure, PollFailureKind, Poller, Validators, content_hash,
};
use crate::store::{Channel, EmbeddedStore, Store as _, Subscription};

/// Longer than anything a poller does of itself; on a paused clock it costs nothing.
const DEADLINE: Duration = Duration::from_secs(600);
/// The store's time at the start of each test, in ms: slots lie the same way in every run.
const START: u64 = 1_795_209_600_123;

pub(super) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).unwrap()
}

/// An endpoint that is polled every `every` seconds at a path of the backend.
pub(super) fn endpoint(text: &str, path: &str, every: u64) -> EndpointConfig {
    let every = Duration::from_secs(every);
    EndpointConfig {
        name: name(text),
        url: format!("http://backend.test/{path}").parse().unwrap(),
        every,
        timeout: every,
        connect_timeout: every,
        max_body: 1000,
        stale_after: every * 3,
        headers: Vec::new(),
        expect: Expectation::Json,
    }
}

/// A request that the backend got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) path: String,
    /// The ETag it was asked with.
    pub(super) etag: Option<String>,
    pub(super) at: Instant,
}

/// Answers each path with its name, under the ETag `"same"` wherever it is asked.
#[derive(Default)]
pub(super) struct Backend {
    asked: Mutex<Vec<Asked>>,
    /// How long the answers of a path take.
    pub(super) delays: Mutex<HashMap<String, Duration>>,
    /// For how long a path asks for rest, instead of a good answer.
    pub(super) rests: Mutex<HashMap<String, Duration>>,
    /// How often a path has been answered.
    answered: Mutex<HashMap<String, usize>>,
}

impl Backend {
    pub(super) fn asked(&self, path: &str) -> Vec<Asked> {
        self.asked.lock().iter().filter(|asked| asked.path == path).cloned().collect()
    }

    pub(super) fn answered(&self, path: &str) -> usize {
        self.answered.lock().get(path).copied().unwrap_or_default()
    }
}

/// Fetches from the backend of the test.
pub(super) struct FromBackend(Arc<Backend>);

impl Fetch for FromBackend {
    async fn fetch(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
    ) -> Result<Fetched, PollFailure> {
        let path = endpoint.url.path().trim_start_matches('/').to_owned();
        let etag = validators.etag.clone();
        self.0.asked.lock().push(Asked {
            path: path.clone(),
            etag: etag.clone(),
            at: Instant::now(),
        });
        let delay = self.0.delays.lock().get(&path).copied().unwrap_or_default();
        sleep(delay).await;
        *self.0.answered.lock().entry(path.clone()).or_default() += 1;
        if let Some(rest) = self.0.rests.lock().get(&path).copied() {
            let (kind, message) = (PollFailureKind::Status, "it asks for rest".to_owned());
            return Err(PollFailure { kind, message, retry_after: Some(rest) });
        }
        if etag.is_some() {
            return Ok(Fetched::NotModified);
        }
        let json = format!("\"{path}\"");
        let content_type = "application/json".to_owned();
        let hash = content_hash(&content_type, json.as_bytes());
        Ok(Fetched::Body {
            body: Body::json(json.into()).unwrap(),
            validators: Validators { etag: Some("\"same\"".to_owned()), last_modified: None },
            hash,
            content_type,
        })
    }
}

/// A replica that polls.
pub(super) struct Ground {
    pub(super) store: Arc<EmbeddedStore>,
    pub(super) backend: Arc<Backend>,
    plans: watch::Sender<Arc<Plan<FromBackend>>>,
    updates: Subscription,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Ground {
    /// Starts a replica with these endpoints.
    pub(super) async fn start(endpoints: &[EndpointConfig]) -> Self {
        let store = Arc::new(EmbeddedStore::new());
        store.set_clock(START);
        let updates = store.subscribe(Channel::Updates).await.unwrap();
        let backend = Arc::new(Backend::default());
        let plan = Plan::new(FromBackend(Arc::clone(&backend)), &cluster(), endpoints, 0);
        let mut ground = Self {
            store,
            backend,
            plans: watch::Sender::new(Arc::new(plan)),
            updates,
            shutdown: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        ground.begin("first");
        ground
    }

    fn begin(&mut self, replica: &str) {
        let poller = Poller::new(self.store.clone(), self.plans.subscribe());
        let identity = Identity { replica: replica.to_owned(), address: String::new() };
        let shutdown = self.shutdown.clone();
        let lease = LeaseConfig::default();
        let elector =
            Elector::new(self.store.clone(), Clock::Process, lease, identity, poller, shutdown);
        self.tasks.spawn(elector.run());
    }

    /// Puts another plan in place.
    pub(super) fn replan(&self, endpoints: &[EndpointConfig]) {
        let plan = self.plans.borrow().succeeded_by(
            FromBackend(Arc::clone(&self.backend)),
            &cluster(),
            endpoints,
            0,
        );
        self.plans.send_replace(Arc::new(plan));
    }

    /// Another replica takes over, with a configuration of its own.
    pub(super) async fn hand_over(&mut self, endpoints: &[EndpointConfig]) {
        self.shutdown.cancel();
        timeout(DEADLINE, self.tasks.join_next()).await.expect("it leaves");
        self.shutdown = CancellationToken::new();
        self.replan(endpoints);
        self.begin("second");
    }

    /// The next publication or departure: its endpoint, and the data or `gone`.
    pub(super) async fn news(&mut self) -> (String, String) {
        let next = async {
            loop {
                match Update::decode(self.updates.next().await.unwrap()).unwrap() {
                    Update::Publication(made) => {
                        let body = String::from_utf8(made.body.bytes().to_vec()).unwrap();
                        return (made.endpoint.to_string(), body.trim_matches('"').to_owned());
                    }
                    Update::Gone(gone) => return (gone.endpoint.to_string(), "gone".to_owned()),
                    Update::Beat(_) => {}
                }
            }
        };
        timeout(DEADLINE, next).await.expect("news")
    }

    pub(super) async fn term(&self) -> u64 {
        self.store.observe().await.unwrap().record.unwrap().term
    }
}

fn cluster() -> ClusterName {
    ClusterName::new("tests").unwrap()
}

/// Advances the paused clock until something holds.
pub(super) async fn wait_for(what: impl Fn() -> bool) {
    let polling = async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, polling).await.expect("it never held");
}
