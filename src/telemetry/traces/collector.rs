//! A collector that takes spans over OTLP/HTTP, as binary protobuf.

use std::error::Error;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::TracesError;
use crate::config::TracesConfig;
use crate::tls;

/// How long a collector may take to connect, and to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Why spans were not taken, or not all of them.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    /// No answer.
    #[error("{0}")]
    Unreachable(String),
    /// An answer other than 2xx.
    #[error("it answered {0}")]
    Refused(StatusCode),
    /// An answer that names spans it does not like.
    #[error("it rejected {0} spans")]
    Rejected(u64),
}

impl NotTaken {
    /// How many spans were rejected, where the others were taken.
    pub(super) fn rejected(&self) -> Option<u64> {
        match self {
            Self::Rejected(spans) => Some(*spans),
            Self::Unreachable(_) | Self::Refused(_) => None,
        }
    }
}

/// One collector.
pub(super) struct Collector {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Collector {
    pub(super) fn new(config: &TracesConfig) -> Result<Self, TracesError> {
        tls::install_provider();
        let client = Client::builder()
            .user_agent(concat!("Pollux/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            // What is sent may hold secrets in its headers, so it goes nowhere else.
            .redirect(Policy::none())
            .no_proxy();
        let client = match config.url.scheme() {
            "https" => client,
            // A system without roots is no hindrance where nothing is encrypted.
            _ => client.tls_certs_only([]),
        };
        let client = client.build().map_err(|error| TracesError::Client(chain(&error)))?;
        Ok(Self { client, url: config.url.clone(), headers: headers(config) })
    }

    /// Where it is, for people.
    pub(super) fn shown(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// Sends spans, once.
    pub(super) async fn send(
        &self,
        spans: Vec<SpanData>,
        resource: &ResourceAttributesWithSchema,
    ) -> Result<(), NotTaken> {
        let resource_spans = group_spans_by_resource_and_scope(spans, resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let request = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body);
        let response = request.send().await;
        let response = response.map_err(|error| NotTaken::Unreachable(chain(&error)))?;
        if !response.status().is_success() {
            return Err(NotTaken::Refused(response.status()));
        }
        match rejected(response).await {
            0 => Ok(()),
            spans => Err(NotTaken::Rejected(spans)),
        }
    }
}

/// The headers of each request. The configuration has checked that they can be sent.
fn headers(config: &TracesConfig) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(mut value)) = (name, HeaderValue::from_str(value.expose())) {
            value.set_sensitive(true);
            headers.append(name, value);
        }
    }
    headers.insert(CONTENT_TYPE, PROTOBUF);
    headers
}

/// How many spans an answer says were rejected: none unless it can be understood.
async fn rejected(mut response: Response) -> u64 {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return 0;
        }
        body.extend_from_slice(&chunk);
    }
    let answer = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default();
    let rejected = answer.partial_success.map(|partial| partial.rejected_spans);
    rejected.and_then(|spans| u64::try_from(spans).ok()).unwrap_or_default()
}

/// The causes in words. reqwest's own words are left out: they hold the whole address.
fn chain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    if causes.is_empty() { "the request failed".to_owned() } else { causes.join(": ") }
}
