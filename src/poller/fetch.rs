//! One poll: a request, and an answer that is good in every respect or a failure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, SystemTime};

use reqwest::header::{
    AUTHORIZATION, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use reqwest::{Client, Method, Request, Response, StatusCode};

use super::answer::{self, Answer};
use super::change::content_hash;
use super::client::{self, Trust};
use super::credentials;
use super::exchange::Exchange;
use super::failure::{self, PollFailure, PollFailureKind, Progress, failure};
use super::{redirect, retry_after};
use crate::config::EndpointConfig;
use crate::model::{Body, EndpointName};
use crate::tls;

/// The longest validator that is kept and sent back, in bytes. A longer one would risk that the
/// backend refuses the whole request.
const LONGEST_VALIDATOR: usize = 8 * 1024 - 1;

/// Polls endpoints. Keeps its connections for as long as it lives, so a process has one.
#[derive(Debug)]
pub struct Fetcher {
    trust: Trust,
    /// The time to connect is a matter of the client, so there is one for each.
    clients: HashMap<Duration, Client>,
}

/// Why there is no fetcher.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// The HTTP client cannot be built, as a rule for want of root certificates.
    #[error(
        "cannot set up the HTTP client: {0}; https endpoints need the system's root certificates \
         (on Linux, install ca-certificates or set SSL_CERT_FILE)"
    )]
    Client(String),
    /// A header cannot be sent.
    #[error(
        "endpoint {endpoint}: header {header:?} has a name or a value that HTTP does not allow"
    )]
    Header {
        /// The endpoint.
        endpoint: EndpointName,
        /// The header's name.
        header: String,
    },
}

/// What a backend recognises its last answer by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// Its `ETag`, for `If-None-Match`.
    pub etag: Option<String>,
    /// Its `Last-Modified`, for `If-Modified-Since`.
    pub last_modified: Option<String>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// 304: what the validators stand for is still current.
    NotModified,
    /// 2xx, with a body as expected.
    Body {
        /// The media type; a default stands in where the backend gave none.
        content_type: String,
        /// The body, decompressed.
        body: Body,
        /// What to ask with the next time.
        validators: Validators,
        /// The [`content_hash`] of both.
        hash: String,
    },
}

impl Fetcher {
    /// Sets up the clients that `endpoints` need, and the TLS provider of this process if it has
    /// none.
    ///
    /// # Errors
    /// When the system's root certificates cannot be read though an endpoint uses https, or when
    /// an endpoint's headers cannot be sent.
    pub fn new(endpoints: &[EndpointConfig]) -> Result<Self, FetcherError> {
        Self::with(endpoints, None)
    }

    /// A fetcher for other endpoints, which goes on with the connections of this one.
    ///
    /// # Errors
    /// As for [`Fetcher::new`].
    pub fn succeeded_by(&self, endpoints: &[EndpointConfig]) -> Result<Self, FetcherError> {
        Self::with(endpoints, Some(self))
    }

    fn with(endpoints: &[EndpointConfig], before: Option<&Self>) -> Result<Self, FetcherError> {
        tls::install_provider();
        let https = |endpoint: &EndpointConfig| endpoint.url.scheme() == "https";
        let trust = if endpoints.iter().any(https) { Trust::SystemRoots } else { Trust::Nobody };
        let mut clients = HashMap::new();
        for endpoint in endpoints {
            configured_headers(endpoint).map_err(|header| FetcherError::Header {
                endpoint: endpoint.name.clone(),
                header: header.to_owned(),
            })?;
            if let Entry::Vacant(entry) = clients.entry(endpoint.connect_timeout) {
                let known = before.filter(|before| before.trust == trust);
                let known = known.and_then(|before| before.clients.get(entry.key()));
                entry.insert(match known {
                    Some(client) => client.clone(),
                    None => client::build(endpoint.connect_timeout, trust)
                        .map_err(|error| FetcherError::Client(failure::chain(&error)))?,
                });
            }
        }
        Ok(Self { trust, clients })
    }

    /// Polls an endpoint once: one of those that the fetcher was made for.
    ///
    /// `validators` are those of the last good answer; without any, the body comes in full.
    /// `timeout` bounds it all: connection, headers and body. Dropping the future cancels the poll.
    ///
    /// # Errors
    /// When there is no answer, or it is not as expected.
    pub async fn fetch(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
    ) -> Result<Fetched, PollFailure> {
        let (mut progress, mut exchange) = (Progress::Asked, Exchange::of_this_poll());
        let attempt = self.attempt(endpoint, validators, &mut progress, &mut exchange);
        let result = match tokio::time::timeout(endpoint.timeout, attempt).await {
            Ok(result) => result,
            Err(_elapsed) => Err(failure::timed_out(endpoint, progress)),
        };
        exchange.ended(&result);
        result
    }

    async fn attempt(
        &self,
        endpoint: &EndpointConfig,
        validators: &Validators,
        progress: &mut Progress,
        exchange: &mut Exchange,
    ) -> Result<Fetched, PollFailure> {
        let conditions = validators.conditions();
        let conditional = !conditions.is_empty();
        let client = self.clients.get(&endpoint.connect_timeout).ok_or_else(|| {
            let what = "not one of the endpoints that this fetcher was made for";
            failure(endpoint, PollFailureKind::Connect, what)
        })?;
        let headers = headers(endpoint, conditions)?;
        let response = send(client, endpoint, headers, exchange).await?;

        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && conditional {
            return Ok(Fetched::NotModified);
        }
        if !status.is_success() {
            let rest = retry_after::rest(status, response.headers(), wall_clock());
            return Err(failure::status(endpoint, status, rest));
        }
        let validators = Validators::of(response.headers());
        let Answer { content_type, body } = answer::read(endpoint, response, progress).await?;
        Ok(Fetched::Body {
            hash: content_hash(&content_type, body.bytes()),
            content_type,
            body,
            validators,
        })
    }
}

impl Validators {
    /// The validators of an answer; one that cannot be sent back is none.
    fn of(headers: &HeaderMap) -> Self {
        let validator = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            is_plausible(value).then(|| value.to_owned())
        };
        Self { etag: validator(ETAG), last_modified: validator(LAST_MODIFIED) }
    }

    /// The headers that ask for nothing but a change.
    fn conditions(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let conditions = [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)];
        for (name, validator) in conditions {
            if let Some(value) = validator
                && is_plausible(value)
                && let Ok(value) = HeaderValue::from_str(value)
            {
                headers.insert(name, value);
            }
        }
        headers
    }
}

#[expect(clippy::disallowed_methods, reason = "a date in HTTP is by the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn is_plausible(validator: &str) -> bool {
    (1..=LONGEST_VALIDATOR).contains(&validator.len())
}

/// The headers of the request: the conditions, and the endpoint's own.
fn headers(endpoint: &EndpointConfig, conditions: HeaderMap) -> Result<HeaderMap, PollFailure> {
    let mut headers = conditions;
    let configured = configured_headers(endpoint).map_err(|header| {
        let what = format!("header {header:?} has a name or a value that HTTP does not allow");
        failure(endpoint, PollFailureKind::Connect, what)
    })?;
    headers.extend(configured);
    Ok(headers)
}

/// Asks, and asks again where it is sent to; the head of the last answer.
async fn send(
    client: &Client,
    endpoint: &EndpointConfig,
    headers: HeaderMap,
    exchange: &mut Exchange,
) -> Result<Response, PollFailure> {
    let mut place = credentials::without(&endpoint.url);
    let mut followed = 0;
    loop {
        let mut request = Request::new(Method::GET, place.clone());
        *request.headers_mut() = headers.clone();
        exchange.sends(&mut request);
        let response = client.execute(request).await;
        let response = response.map_err(|error| failure::of_request(endpoint, &error))?;
        exchange.answered(&response);
        let next = redirect::next(&place, followed, &response);
        match next.map_err(|error| failure(endpoint, PollFailureKind::Redirect, error))? {
            Some(next) => place = next,
            None => return Ok(response),
        }
        followed += 1;
    }
}

/// The endpoint's own headers, marked so that nothing shows or indexes their values; credentials in its
/// URL count instead of a default. An error is the name of a header that cannot be sent.
fn configured_headers(endpoint: &EndpointConfig) -> Result<HeaderMap, &str> {
    let mut headers = HeaderMap::new();
    for (name, value) in &endpoint.headers {
        let parsed = HeaderName::try_from(name).ok();
        let (parsed, mut value) =
            parsed.zip(HeaderValue::try_from(value.expose()).ok()).ok_or(name.as_str())?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    if let Some(basic) = credentials::basic(&endpoint.url) {
        let mut value =
            HeaderValue::try_from(format!("Basic {basic}")).map_err(|_| "Authorization")?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implausible_validators_are_not_sent() {
        for etag in ["", "a\nb", &"a".repeat(8 * 1024)] {
            let validators = Validators { etag: Some(etag.to_owned()), last_modified: None };
            assert!(validators.conditions().is_empty());
        }
    }

    #[test]
    fn implausible_validators_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_bytes(b"\"\xff\"").unwrap());
        let long = "a".repeat(8 * 1024);
        headers.insert(LAST_MODIFIED, HeaderValue::from_str(&long).unwrap());
        assert_eq!(Validators::of(&headers), Validators::default());
    }
}
