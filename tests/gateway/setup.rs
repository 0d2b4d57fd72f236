use std::net::SocketAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use pollux::config::{EndpointConfig, Expectation};
use pollux::gateway::{GatewayState, Room, router};
use pollux::http::serve;
use pollux::hub::Hub;
use pollux::model::{Beat, Body, EndpointName, Publication, Version};
use pollux::store::{
    Batch, BatchItem, Claim, ClaimRequest, DatedBeat, EmbeddedStore, PollState, Published,
    Store as _,
};
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Long enough for a loaded machine; nothing waits for it but a failing test.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// How a test's gateway differs from the usual.
pub(super) struct Setup {
    pub(super) max_streams: usize,
    pub(super) drain: Duration,
    pub(super) stale_after: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self { max_streams: 100, drain: DEADLINE, stale_after: Duration::from_secs(3600) }
    }
}

/// A leader that publishes what the test says, and a gateway of the endpoints `a`, `b` and
/// `never`.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) hub: Arc<Hub>,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: JoinHandle<()>,
    store: EmbeddedStore,
    claim: Claim,
    sequence: u64,
}

impl Setup {
    pub(super) async fn start(self) -> Running {
        let store = EmbeddedStore::new();
        let claim = lead(&store).await;
        let stale_after = self.stale_after;
        let hub = Hub::new(&["a", "b", "never"].map(|name| endpoint(name, stale_after)));
        let shutdown = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (following, followed) = (Arc::clone(&hub), Arc::new(store.clone()));
        let token = shutdown.clone();
        tokio::spawn(async move { following.follow(followed, token).await });
        let state =
            GatewayState::new(Arc::clone(&hub), Room::new(self.max_streams), shutdown.clone());
        let serving = tokio::spawn(serve(listener, router(state), self.drain, shutdown.clone()));
        let running = Running { address, hub, shutdown, serving, store, claim, sequence: 0 };
        running.until(|hub| hub.ready()).await;
        running
    }
}

pub(super) fn endpoint(name: &str, stale_after: Duration) -> EndpointConfig {
    EndpointConfig {
        name: EndpointName::new(name).unwrap(),
        url: format!("http://{name}.test/").parse().unwrap(),
        every: Duration::from_secs(2),
        timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        max_body: 1024,
        stale_after,
        headers: Vec::new(),
        expect: Expectation::Json,
    }
}

async fn lead(store: &EmbeddedStore) -> Claim {
    let request = ClaimRequest {
        lease: store.acquire().await.unwrap(),
        duration: Duration::from_secs(3600),
        seen: 0,
        alive: uuid::Uuid::new_v4(),
        replica: "r".into(),
        address: String::new(),
        gap: Duration::ZERO,
        reinstate: false,
    };
    store.claim(&request).await.unwrap().unwrap()
}

impl Running {
    /// The version of the publication with this number.
    pub(super) fn version(&self, sequence: u64) -> Version {
        Version::new(self.claim.term, sequence)
    }

    /// Publishes a body and waits until the hub has it.
    pub(super) async fn publish(&mut self, endpoint: &str, kind: &str, body: &str) -> Version {
        let version = self.version(self.sequence + 1);
        let name = EndpointName::new(endpoint).unwrap();
        let body = Body::of(body.to_owned().into(), kind);
        let item = BatchItem {
            publication: Publication::new(name.clone(), version, self.claim.now, kind.into(), body),
            state: PollState::default(),
        };
        let batch = Batch {
            after: self.sequence,
            items: vec![item],
            checked: vec![(name, self.claim.now)],
            ..Batch::default()
        };
        self.take_effect(batch).await;
        self.sequence += 1;
        self.until(|hub| hub.version() >= version).await;
        version
    }

    /// Beats, with a good check of an endpoint.
    pub(super) async fn check(&self, endpoint: &str) {
        let beat = Beat {
            last: self.version(self.sequence),
            checked: vec![EndpointName::new(endpoint).unwrap()],
        };
        let batch = Batch {
            after: self.sequence,
            beat: Some(DatedBeat { json: beat.json(), until: u64::MAX }),
            ..Batch::default()
        };
        self.take_effect(batch).await;
    }

    async fn take_effect(&self, batch: Batch) {
        let published = self.store.publish(&self.claim, &batch).await.unwrap();
        assert_eq!(published, Published::Accepted);
    }

    /// Waits until something holds of the hub.
    pub(super) async fn until(&self, what: impl Fn(&Hub) -> bool) {
        let polling = async {
            while !what(&self.hub) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(DEADLINE, polling).await.expect("it never held");
    }

    pub(super) async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    pub(super) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = client().get(format!("http://{}{path}", self.address));
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        timeout(DEADLINE, request.send()).await.unwrap().unwrap()
    }

    pub(super) async fn stream(&self, query: &str) -> Events {
        self.stream_with(query, &[]).await
    }

    pub(super) async fn stream_with(&self, query: &str, headers: &[(&str, &str)]) -> Events {
        let response = self.get_with(&format!("/v1/stream?{query}"), headers).await;
        assert_eq!(response.status(), StatusCode::OK);
        Events { response, buffer: String::new() }
    }
}

/// A client that does not go on with connections of others.
pub(super) fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().ok();
    });
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The blocks of a stream as they arrive.
pub(super) struct Events {
    response: Response,
    buffer: String,
}

/// One block: the values of its fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) id: Option<String>,
    pub(super) event: Option<String>,
    pub(super) data: Option<String>,
    pub(super) retry: Option<u64>,
}

impl Events {
    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The next block; `None` at the end of the stream.
    pub(super) async fn block(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let block = parse(block);
                self.buffer = rest.to_owned();
                return Some(block);
            }
            let chunk = timeout(DEADLINE, self.response.chunk()).await;
            let bytes = chunk.expect("nothing arrived").expect("the stream broke")?;
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event of whatever kind.
    pub(super) async fn event(&mut self) -> Block {
        loop {
            let block = self.block().await.expect("the stream ended");
            if block.event.is_some() {
                return block;
            }
        }
    }

    /// The versions of the next snapshots.
    pub(super) async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.extend(self.event().await.id);
        }
        ids
    }
}

fn parse(block: &str) -> Block {
    let mut parsed = Block::default();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "id" => parsed.id = Some(value),
            "event" => parsed.event = Some(value),
            "data" => parsed.data = Some(value),
            "retry" => parsed.retry = value.parse().ok(),
            _ => {}
        }
    }
    parsed
}
