use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use pollux::model::Version;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::http;

/// How long a client waits before it connects again.
const RETRY: Duration = Duration::from_millis(50);

/// A client that holds a Server-Sent Events stream as a browser's `EventSource` does: when it
/// breaks it connects again, to the next gateway, with the last event's id.
pub struct SseClient {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

/// What a client has received.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The versions of all publications, in the order of their arrival.
    pub versions: Vec<Version>,
    /// The newest body of each endpoint.
    pub bodies: BTreeMap<String, Value>,
    /// The `stale`, `fresh` and `gone` events: kind and endpoint.
    pub freshness: Vec<(String, String)>,
    /// How often it connected.
    pub connections: usize,
    /// How many of its streams ended with a hint when to connect again.
    pub hints_at_end: usize,
}

impl SseClient {
    /// Follows `endpoints` on whichever of `gateways` answers, from the `first` on.
    pub fn follow(gateways: Vec<String>, first: usize, endpoints: &[&str]) -> Self {
        let query: Vec<String> = endpoints.iter().map(|name| format!("endpoint={name}")).collect();
        let query = query.join("&");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let noting = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let client = http();
            let mut last_id: Option<String> = None;
            for turn in first.. {
                let gateway = &gateways[turn % gateways.len()];
                let mut request = client.get(format!("http://{gateway}/v1/stream?{query}"));
                if let Some(id) = &last_id {
                    request = request.header("Last-Event-ID", id);
                }
                if let Ok(response) = request.send().await
                    && response.status() == 200
                {
                    connected(&noting, last_id.is_none());
                    read(response, &noting, &mut last_id).await;
                }
                sleep(RETRY).await;
            }
        });
        Self { seen, task }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic").clone()
    }
}

impl Drop for SseClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Notes a connection; what it brings `anew`, the client may have had before.
fn connected(seen: &Mutex<Seen>, anew: bool) {
    let mut seen = seen.lock().expect("no panic");
    seen.connections += 1;
    if anew {
        seen.versions.clear();
    }
}

/// Reads a stream to its end.
async fn read(response: reqwest::Response, seen: &Mutex<Seen>, last_id: &mut Option<String>) {
    let mut chunks = response.bytes_stream();
    let mut pending = String::new();
    let mut last = String::new();
    while let Some(Ok(chunk)) = chunks.next().await {
        pending.push_str(&String::from_utf8_lossy(&chunk));
        while let Some(end) = pending.find("\n\n") {
            last = pending.drain(..end + 2).collect();
            note(&last, &mut seen.lock().expect("no panic"), last_id);
        }
    }
    if last.starts_with("retry:") {
        seen.lock().expect("no panic").hints_at_end += 1;
    }
}

fn note(event: &str, seen: &mut Seen, last_id: &mut Option<String>) {
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    if event.lines().any(|line| line == "id:") {
        *last_id = None;
    }
    let Some(data) = field("data: ") else { return };
    let data: Value = serde_json::from_str(data).expect("every event's data is JSON");
    let endpoint =
        data["endpoint"].as_str().or(data["gone"].as_str()).unwrap_or_default().to_owned();
    match field("event: ") {
        Some("snapshot") => {
            let version = data["version"].as_str().expect("a version");
            // Without one where the stream cannot be resumed.
            if let Some(id) = field("id: ") {
                assert_eq!(version, id, "the id is the publication's version");
                *last_id = Some(id.to_owned());
            }
            seen.versions.push(version.parse().expect("a version"));
            seen.bodies.insert(endpoint, data["data"].clone());
        }
        Some(kind) => seen.freshness.push((kind.to_owned(), endpoint)),
        None => {}
    }
}
