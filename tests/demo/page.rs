//! What a visitor of the demo's page sees and does.

use futures_util::StreamExt as _;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::process::{Demo, LONG};

/// The JSON of an answer.
pub(crate) async fn json_of(answer: Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

/// A visitor of one demo.
pub(crate) struct Visitor {
    client: Client,
    address: String,
}

impl Visitor {
    pub(crate) fn of(demo: &Demo) -> Self {
        // reqwest wants a TLS provider even for http; another test may have set it.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { client, address: demo.address.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.address)).send().await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.post(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The first state of the demo that is as wanted.
    pub(crate) async fn state(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.event("/demo/events", wanted).await
    }

    /// The first event of a stream whose data are as wanted.
    pub(crate) async fn event(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut chunks = self.get(path).await.bytes_stream();
        let mut last = Value::Null;
        let found = async {
            let mut text = Vec::new();
            while let Some(chunk) = chunks.next().await {
                text.extend_from_slice(&chunk.unwrap());
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    let Some(data) = line.strip_prefix(b"data: ") else {
                        continue;
                    };
                    last = serde_json::from_slice(data).unwrap();
                    if wanted(&last) {
                        return last.clone();
                    }
                }
            }
            panic!("{path} ended");
        };
        let found = timeout(LONG, found).await;
        found.unwrap_or_else(|_| panic!("nothing as wanted from {path}"))
    }
}
