use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::ground::Ground;
use crate::config::{EndpointConfig, Expectation};
use crate::model::{Body, EndpointName};
use crate::poller::{Fetch, Fetched, PollFailure, PollFailureKind, Validators, content_hash};

/// Every endpoint: its name, how often it is polled, how often it changes, in ms, and whether it
/// gives validators.
const ENDPOINTS: [(&str, u64, u64, bool); 4] = [
    ("fast", 300, 1, false),
    ("slow", 700, 1_700, true),
    ("rare", 1_000, 4_100, true),
    ("plain", 900, 1_300, false),
];

/// Their names.
pub(super) fn names() -> Vec<&'static str> {
    ENDPOINTS.iter().map(|(name, ..)| *name).collect()
}

/// Their configuration.
pub(super) fn endpoints() -> Vec<EndpointConfig> {
    let endpoint = |(name, every, ..): &(&str, u64, u64, bool)| EndpointConfig {
        name: EndpointName::new(name).unwrap(),
        url: "http://backend.test/".parse().unwrap(),
        every: Duration::from_millis(*every),
        timeout: Duration::from_millis(*every),
        connect_timeout: Duration::from_secs(1),
        max_body: 1024,
        stale_after: Duration::from_secs(3600),
        headers: Vec::new(),
        expect: Expectation::Json,
    };
    ENDPOINTS.iter().map(endpoint).collect()
}

/// A configuration that lacks some of the endpoints, though never the first: a host may get a change of
/// the configuration late, or early.
pub(super) fn some_endpoints(rng: &mut Rng) -> Vec<EndpointConfig> {
    let mut some = endpoints();
    let mut number = 0;
    some.retain(|_| {
        number += 1;
        number == 1 || rng.bool()
    });
    some
}

/// What is polled. Its bodies follow from the time.
pub(super) struct Backend {
    start: Instant,
    settled: Mutex<Option<Instant>>,
}

impl Backend {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), settled: Mutex::default() }
    }

    /// From now on, nothing changes, and nothing is slow or fails.
    pub(super) fn settle(&self) {
        *self.settled.lock() = Some(Instant::now());
    }

    fn is_settled(&self) -> bool {
        self.settled.lock().is_some()
    }

    /// The present body of an endpoint.
    pub(super) fn body(&self, name: &str) -> String {
        let now = self.settled.lock().unwrap_or_else(Instant::now);
        let (_, _, changes, _) = kind(name);
        ((now - self.start).as_millis() as u64 / changes).to_string()
    }
}

fn kind(name: &str) -> (&'static str, u64, u64, bool) {
    *ENDPOINTS.iter().find(|(known, ..)| *known == name).unwrap()
}

/// One replica's way to the backend.
pub(super) struct Poll {
    replica: usize,
    backend: Arc<Backend>,
    ground: Arc<Ground>,
    rng: Mutex<Rng>,
}

impl Poll {
    pub(super) fn new(
        replica: usize,
        backend: Arc<Backend>,
        ground: Arc<Ground>,
        rng: Rng,
    ) -> Self {
        Self { replica, backend, ground, rng: Mutex::new(rng) }
    }

    /// Answers with what is current amid the time that it takes.
    async fn ask(&self, name: &str, validators: &Validators) -> Result<Fetched, PollFailure> {
        let (there, back, fails) = {
            let mut rng = self.rng.lock();
            let slow = rng.u8(0..20) == 0 && !self.backend.is_settled();
            let longest = if slow { 600 } else { 20 };
            (rng.u64(0..longest), rng.u64(0..longest), rng.u8(0..20) == 0)
        };
        let fails = fails && !self.backend.is_settled();
        sleep(Duration::from_millis(there)).await;
        let body = self.backend.body(name);
        sleep(Duration::from_millis(back)).await;
        if fails {
            return Err(failure(PollFailureKind::Status));
        }
        let (.., validates) = kind(name);
        let etag = validates.then(|| body.clone());
        if etag.is_some() && etag == validators.etag {
            return Ok(Fetched::NotModified);
        }
        let content_type = "application/json".to_owned();
        Ok(Fetched::Body {
            hash: content_hash(&content_type, body.as_bytes()),
            content_type,
            body: Body::Json(body.into()),
            validators: Validators { etag, last_modified: None },
        })
    }
}

fn failure(kind: PollFailureKind) -> PollFailure {
    PollFailure { kind, message: "the backend is played".into(), retry_after: None }
}

impl Fetch for Poll {
    async fn fetch(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
    ) -> Result<Fetched, PollFailure> {
        self.ground.polls(self.replica);
        let asking = self.ask(endpoint.name.as_str(), validators);
        timeout(endpoint.timeout, asking)
            .await
            .unwrap_or_else(|_| Err(failure(PollFailureKind::Timeout)))
    }
}
