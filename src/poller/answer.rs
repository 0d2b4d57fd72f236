//! What a backend answered: whether its media type and its body are as expected.

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::excerpt::quote;
use super::failure::{self, PollFailure, PollFailureKind, Progress, failure};
use crate::config::{EndpointConfig, Expectation};
use crate::model::{Body, is_json};

/// What stands in for a missing content type where JSON is expected.
const JSON: &str = "application/json";
/// What stands in for a missing content type elsewhere (RFC 9110, section 8.3).
const UNKNOWN: &str = "application/octet-stream";

/// An answer that is as expected.
pub(super) struct Answer {
    /// The media type that is published.
    pub(super) content_type: String,
    /// The body, decompressed.
    pub(super) body: Body,
}

/// Reads an answer that promises a body, and judges it.
///
/// # Errors
/// When it is not what the endpoint expects, or does not come whole.
pub(super) async fn read(
    endpoint: &EndpointConfig,
    response: Response,
    progress: &mut Progress,
) -> Result<Answer, PollFailure> {
    refuse_unknown_encoding(endpoint, response.headers())?;
    let content_type = content_type(endpoint, response.headers());
    expect_media_type(endpoint, &content_type)?;
    let bytes = read_body(endpoint, response, progress).await?;
    let body = expect_body(endpoint, &content_type, bytes)?;
    Ok(Answer { content_type: as_published(content_type, &body), body })
}

/// What is decoded has lost its header; what still has one cannot be read.
fn refuse_unknown_encoding(
    endpoint: &EndpointConfig,
    headers: &HeaderMap,
) -> Result<(), PollFailure> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let name = quote(endpoint, encoding.as_bytes());
            let what = format!("the content encoding {name:?} is unknown; gzip, br and zstd are");
            Err(failure(endpoint, PollFailureKind::Decode, what))
        }
        _ => Ok(()),
    }
}

/// The media type of an answer, or what stands in for one that is missing or no text.
fn content_type(endpoint: &EndpointConfig, headers: &HeaderMap) -> String {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::trim)
        .filter(|value| !value.is_empty());
    let default = match endpoint.expect {
        Expectation::Json => JSON,
        Expectation::ContentType(_) => UNKNOWN,
    };
    given.unwrap_or(default).to_owned()
}

fn expect_media_type(endpoint: &EndpointConfig, content_type: &str) -> Result<(), PollFailure> {
    let Expectation::ContentType(expected) = &endpoint.expect else {
        return Ok(());
    };
    if expected.iter().any(|pattern| matches_media_type(pattern, content_type)) {
        return Ok(());
    }
    let expected = expected.join(" or ");
    let got = quote(endpoint, content_type.as_bytes());
    let what = format!("expected {expected}, got {got}; adjust the url or what is expected");
    Err(failure(endpoint, PollFailureKind::Expect, what))
}

/// Whether a media type is the one that is expected, exactly or, with `type/*`, by its type.
fn matches_media_type(pattern: &str, content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    match pattern.trim().split_once('/') {
        Some(("*", "*")) => true,
        Some((expected, "*")) => kind.eq_ignore_ascii_case(expected),
        Some((expected, rest)) => {
            kind.eq_ignore_ascii_case(expected) && subtype.eq_ignore_ascii_case(rest)
        }
        None => false,
    }
}

/// Reads a body, and no further than `max_body`.
async fn read_body(
    endpoint: &EndpointConfig,
    mut response: Response,
    progress: &mut Progress,
) -> Result<Bytes, PollFailure> {
    let too_large = || {
        let limit = endpoint.max_body;
        let what = format!("the body is larger than max_body, {limit} bytes; raise it if need be");
        failure(endpoint, PollFailureKind::TooLarge, what)
    };
    // Announced only for a body that is not compressed.
    if response.content_length().is_some_and(|length| length > endpoint.max_body) {
        return Err(too_large());
    }
    let mut body = BytesMut::new();
    loop {
        let received = body.len() as u64;
        *progress = Progress::Answered { received };
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|error| failure::of_body(endpoint, &error, received))?;
        match chunk {
            None => return Ok(body.freeze()),
            Some(chunk) if received + chunk.len() as u64 > endpoint.max_body => {
                return Err(too_large());
            }
            Some(chunk) => body.extend_from_slice(&chunk),
        }
    }
}

fn expect_body(
    endpoint: &EndpointConfig,
    content_type: &str,
    bytes: Bytes,
) -> Result<Body, PollFailure> {
    if bytes.is_empty() {
        let what = "the body is empty";
        return Err(failure(endpoint, PollFailureKind::Expect, what));
    }
    match endpoint.expect {
        Expectation::ContentType(_) => Ok(Body::of(bytes, content_type)),
        Expectation::Json => Body::json(bytes.clone()).map_err(|error| {
            let got = quote(endpoint, content_type.as_bytes());
            let beginning = quote(endpoint, &bytes);
            let what = format!(
                "expected JSON in UTF-8, got {got} that begins with “{beginning}” ({error}); \
                 adjust the url or what is expected"
            );
            failure(endpoint, PollFailureKind::Expect, what)
        }),
    }
}

/// The media type that is published. On the wire a lone JSON string of another type would be the
/// same as text, and be read as that.
fn as_published(content_type: String, body: &Body) -> String {
    match body {
        Body::Json(json)
            if json.trim_ascii_start().starts_with(b"\"") && !is_json(&content_type) =>
        {
            JSON.to_owned()
        }
        _ => content_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_string_is_published_as_json_whatever_the_backend_calls_it() {
        let json = |text: &'static [u8]| Body::json(Bytes::from_static(text)).unwrap();
        assert_eq!(as_published("text/plain".into(), &json(b"\"a\"")), JSON);
        assert_eq!(as_published("text/plain".into(), &json(b"[1]")), "text/plain");
        let own = "application/geo+json";
        assert_eq!(as_published(own.into(), &json(b"\"a\"")), own);
    }

    #[test]
    fn media_types_match_exactly_or_by_their_type() {
        for (pattern, content_type) in [
            ("text/csv", "text/csv"),
            ("text/csv", "Text/CSV; charset=utf-8"),
            ("image/*", "image/png"),
            ("*/*", "image/png"),
        ] {
            assert!(matches_media_type(pattern, content_type), "{pattern} {content_type}");
        }
        for (pattern, content_type) in [
            ("text/csv", "text/csvx"),
            ("text/*", "image/png"),
            ("text", "text/csv"),
            ("text/csv", "text"),
        ] {
            assert!(!matches_media_type(pattern, content_type), "{pattern} {content_type}");
        }
    }
}
