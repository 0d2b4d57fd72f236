//! What a publication says, wherever it is met: at Redis, or at a client.

use pollux::model::Version;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::history::hash;

/// A publication, by the hash of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) endpoint: String,
    pub(crate) version: Version,
    pub(crate) hash: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    endpoint: String,
    version: Version,
    /// As it stands there, byte for byte: so it has the hash that it had at the backend.
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Publication {
    /// Reads the one line of JSON that a publication is.
    ///
    /// # Errors
    /// When it is none, or one whose body is not JSON.
    pub(crate) fn read(json: &[u8]) -> Result<Self, serde_json::Error> {
        let wire: Wire<'_> = serde_json::from_slice(json)?;
        let hash = hash(wire.data.get().as_bytes());
        Ok(Self { endpoint: wire.endpoint, version: wire.version, hash })
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use bytes::Bytes;
    use pollux::model::{Body, EndpointName, Publication as Published};

    use super::*;

    #[test]
    fn a_body_has_the_same_hash_at_the_backend_and_in_a_publication() {
        for body in
            ["{\"endpoint\":\"fast\",\"answer\":7}", "[1,2.50,\"\\u00e4 \\\" ä\"]", "\"text\""]
        {
            let published = Published::new(
                EndpointName::new("fast").unwrap(),
                Version::new(7, 3),
                5,
                "application/json".to_owned(),
                Body::of(Bytes::from_static(body.as_bytes()), "application/json"),
            );
            let read = Publication::read(published.json()).unwrap();
            assert_eq!((read.version, read.hash), (Version::new(7, 3), hash(body.as_bytes())));
        }
    }

    #[test]
    fn what_is_no_publication_is_refused() {
        for json in [
            "",
            "{}",
            "{\"beat\":\"7-3\",\"checked\":[]}",
            "{\"endpoint\":\"a\",\"version\":\"7-3\",\"data\":{",
        ] {
            assert!(Publication::read(json.as_bytes()).is_err(), "{json}");
        }
    }
}
