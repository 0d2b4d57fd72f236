use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{EndpointName, Version};

/// A polled body in the form in which it travels.
///
/// A publication is one JSON document. A body that is JSON stands in it as it is, other text as a
/// JSON string, and anything else in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// JSON in UTF-8, without raw line breaks.
    Json(Bytes),
    /// Other text.
    Text(Bytes),
    /// Anything that is not UTF-8.
    Binary(Bytes),
}

impl Body {
    /// Takes a body as JSON, if it is JSON in UTF-8.
    ///
    /// Raw CR and LF, which JSON allows only between tokens, become spaces: meaning and length
    /// stay, and the body can travel in one line of a Server-Sent Event.
    pub fn json(bytes: Bytes) -> Result<Self, serde_json::Error> {
        serde_json::from_slice::<&RawValue>(&bytes)?;
        let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if !bytes.iter().any(breaks) {
            return Ok(Self::Json(bytes));
        }
        let flat = bytes.iter().map(|byte| if breaks(byte) { b' ' } else { *byte });
        Ok(Self::Json(flat.collect()))
    }

    /// Takes a body of whatever kind: JSON where it parses, text where it is UTF-8, else binary.
    ///
    /// A lone JSON string counts as JSON only if `content_type` says so: on the wire it would
    /// otherwise be the same as text.
    pub fn of(bytes: Bytes, content_type: &str) -> Self {
        let lone_string = bytes.trim_ascii_start().starts_with(b"\"");
        if (!lone_string || is_json(content_type))
            && let Ok(body) = Self::json(bytes.clone())
        {
            return body;
        }
        if std::str::from_utf8(&bytes).is_ok() { Self::Text(bytes) } else { Self::Binary(bytes) }
    }

    /// The body itself, as a client gets it.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Json(bytes) | Self::Text(bytes) | Self::Binary(bytes) => bytes,
        }
    }
}

/// Whether a media type is JSON's own or has its suffix (RFC 6839).
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// A snapshot with its version: the full newest body of an endpoint, as it goes over the wire.
///
/// The same bytes stand in every key, channel and transport. They are made once, by
/// [`Publication::new`], and only looked into from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The endpoint that was polled.
    pub endpoint: EndpointName,
    /// Its place in the order of the cluster.
    pub version: Version,
    /// When the body was fetched, in ms by the store's clock.
    pub fetched_at: u64,
    /// The media type the backend gave.
    pub content_type: String,
    /// The body. JSON is a slice of [`Publication::json`], not a copy.
    pub body: Body,
    json: Bytes,
}

/// The facts that precede the body on the wire.
#[derive(Serialize)]
struct Head<'a> {
    endpoint: &'a EndpointName,
    version: Version,
    fetched_at: u64,
    content_type: &'a str,
}

/// A publication as it is read; exactly one of the last two fields is there.
#[derive(Deserialize)]
struct Wire<'a> {
    endpoint: EndpointName,
    version: Version,
    fetched_at: u64,
    content_type: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
}

/// A message on the updates channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// An endpoint changed.
    Publication(Publication),
    /// The leader lives.
    Beat(Beat),
    /// An endpoint is no longer polled.
    Gone(Gone),
}

/// What the leader publishes at least once a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The newest version that took effect.
    #[serde(rename = "beat")]
    pub last: Version,
    /// The endpoints with a good check since the last beat.
    pub checked: Vec<EndpointName>,
}

/// What the leader publishes of an endpoint that it no longer polls, in place of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The endpoint that is no longer configured.
    #[serde(rename = "gone")]
    pub endpoint: EndpointName,
    /// Its place in the order of the cluster.
    pub version: Version,
}

/// Bytes on the updates channel or in a snapshot that are not of the published format.
#[derive(Debug, thiserror::Error)]
#[error("not a publication: {0}")]
pub struct InvalidPublication(String);

impl Publication {
    /// Makes the publication of a body.
    pub fn new(
        endpoint: EndpointName,
        version: Version,
        fetched_at: u64,
        content_type: String,
        body: Body,
    ) -> Self {
        let head = Head { endpoint: &endpoint, version, fetched_at, content_type: &content_type };
        let mut json = to_json(&head);
        json.pop();
        match &body {
            Body::Json(bytes) => {
                json.extend_from_slice(b",\"data\":");
                json.extend_from_slice(bytes);
            }
            Body::Text(bytes) => {
                json.extend_from_slice(b",\"data\":");
                json.extend(to_json(&String::from_utf8_lossy(bytes)));
            }
            Body::Binary(bytes) => {
                json.extend_from_slice(b",\"data_base64\":");
                json.extend(to_json(&BASE64.encode(bytes)));
            }
        }
        json.push(b'}');
        Self { endpoint, version, fetched_at, content_type, body, json: json.into() }
    }

    /// Reads a publication; its bytes are kept as they are.
    ///
    /// # Errors
    /// When the bytes are not a publication in the form that [`Publication::new`] writes.
    pub fn decode(json: Bytes) -> Result<Self, InvalidPublication> {
        let invalid = |error: &dyn std::fmt::Display| InvalidPublication(error.to_string());
        let wire: Wire<'_> = serde_json::from_slice(&json).map_err(|error| invalid(&error))?;
        let body = match (wire.data, &wire.data_base64) {
            (Some(data), None) => {
                if data.get().starts_with('"') && !is_json(&wire.content_type) {
                    let text: String =
                        serde_json::from_str(data.get()).map_err(|error| invalid(&error))?;
                    Body::Text(text.into())
                } else {
                    Body::Json(with_spaces(&json, data.get()))
                }
            }
            (None, Some(encoded)) => {
                let bytes = BASE64.decode(encoded).map_err(|error| invalid(&error))?;
                Body::Binary(bytes.into())
            }
            _ => {
                return Err(InvalidPublication("expected one of data and data_base64".into()));
            }
        };
        Ok(Self {
            endpoint: wire.endpoint,
            version: wire.version,
            fetched_at: wire.fetched_at,
            content_type: wire.content_type,
            body,
            json: json.clone(),
        })
    }

    /// The publication on the wire: one line of JSON.
    pub fn json(&self) -> &Bytes {
        &self.json
    }
}

impl Beat {
    /// The beat on the wire: one line of JSON.
    pub fn json(&self) -> Bytes {
        to_json(self).into()
    }
}

impl Gone {
    /// The message on the wire: one line of JSON.
    pub fn json(&self) -> Bytes {
        to_json(self).into()
    }
}

impl Update {
    /// Reads a message of the updates channel.
    ///
    /// # Errors
    /// When it is neither a publication, nor a beat, nor tells of an endpoint that is gone.
    pub fn decode(json: Bytes) -> Result<Self, InvalidPublication> {
        let invalid = |error: serde_json::Error| InvalidPublication(error.to_string());
        if json.starts_with(b"{\"beat\":") {
            return serde_json::from_slice(&json).map(Self::Beat).map_err(invalid);
        }
        if json.starts_with(b"{\"gone\":") {
            return serde_json::from_slice(&json).map(Self::Gone).map_err(invalid);
        }
        Publication::decode(json).map(Self::Publication)
    }
}

/// The value `data` with the white space around it, which belongs to the body but not to the value:
/// from the colon before it to the brace that ends the publication.
fn with_spaces(json: &Bytes, data: &str) -> Bytes {
    let value = json.slice_ref(data.as_bytes());
    let start = value.as_ptr() as usize - json.as_ptr() as usize;
    let end = start + value.len();
    let before = json[..start].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
    let after = json[end..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    json.slice(start - before..end + after)
}

/// JSON of a value whose serialisation cannot fail: plain structs, strings and numbers.
fn to_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publication(content_type: &str, body: &'static [u8]) -> Publication {
        Publication::new(
            EndpointName::new("prices").unwrap(),
            Version::new(1795209600123, 42),
            1795209600123,
            content_type.into(),
            Body::of(Bytes::from_static(body), content_type),
        )
    }

    fn wire(publication: &Publication) -> &str {
        std::str::from_utf8(publication.json()).unwrap()
    }

    #[test]
    fn a_json_body_travels_as_it_is_but_for_line_breaks() {
        let made = publication("application/json", b"{\"a\" :\r\n[1.10, 1e999]}");
        assert_eq!(
            wire(&made),
            r#"{"endpoint":"prices","version":"1795209600123-42","fetched_at":1795209600123,"content_type":"application/json","data":{"a" :  [1.10, 1e999]}}"#
        );
    }

    #[test]
    fn every_kind_of_body_reads_back_as_it_was() {
        let bodies: [(&str, &[u8]); 7] = [
            ("application/json", b"[1,2]"),
            ("application/json", b" {\"a\":1} "),
            ("application/json", b"\"a lone string\""),
            ("text/plain", b"\"quoted text\""),
            ("text/csv", b"a,b\r\n1,2\r\n"),
            ("text/plain", b"17"),
            ("image/png", b"\x89PNG\xff"),
        ];
        for (content_type, body) in bodies {
            let made = publication(content_type, body);
            let read = Publication::decode(made.json().clone()).unwrap();
            assert_eq!(read, made, "{content_type}");
            assert_eq!(read.body.bytes(), body, "{content_type}");
            assert!(!made.json().contains(&b'\n'), "{content_type}");
        }
    }

    #[test]
    fn reading_a_json_body_copies_nothing() {
        let made = publication("application/json", b"[1,2,3]");
        let read = Publication::decode(made.json().clone()).unwrap();
        assert!(made.json().as_ptr_range().contains(&read.body.bytes().as_ptr()));
    }

    #[test]
    fn a_beat_is_told_from_a_publication() {
        let beat =
            Beat { last: Version::new(7, 3), checked: vec![EndpointName::new("a").unwrap()] };
        assert_eq!(beat.json(), r#"{"beat":"7-3","checked":["a"]}"#);
        assert_eq!(Update::decode(beat.json()).unwrap(), Update::Beat(beat));
    }

    #[test]
    fn an_endpoint_that_is_gone_is_told_from_a_publication() {
        let gone = Gone { endpoint: EndpointName::new("a").unwrap(), version: Version::new(7, 3) };
        assert_eq!(gone.json(), r#"{"gone":"a","version":"7-3"}"#);
        assert_eq!(Update::decode(gone.json()).unwrap(), Update::Gone(gone));
    }

    #[test]
    fn what_is_no_publication_is_refused() {
        for json in ["", "{}", "[]", r#"{"beat":1}"#, r#"{"endpoint":"a","version":"1-1"}"#] {
            assert!(Update::decode(Bytes::from_static(json.as_bytes())).is_err(), "{json}");
        }
    }
}
