//! Whether an endpoint has changed.

use xxhash_rust::xxh3::Xxh3;

/// The hash of a snapshot: xxh3 with 128 bits over content type and body, as 32 hex digits.
///
/// Two answers with the same hash are the same snapshot. The hash stands in the store for the next
/// leader, so it must not depend on the build or the machine.
pub fn content_hash(content_type: &str, body: &[u8]) -> String {
    let mut hasher = Xxh3::new();
    hasher.update(content_type.as_bytes());
    // A header never holds NUL, so no content type runs into its body.
    hasher.update(&[0]);
    hasher.update(body);
    format!("{:032x}", hasher.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_same_in_every_build() {
        let hash = content_hash("application/json", b"{\"price\":1}");
        assert_eq!(hash, "5416a688ef442e686139f1c2fe885a7e");
    }

    #[test]
    fn body_and_content_type_both_count() {
        let hash = content_hash("text/plain", b"a");
        assert_ne!(hash, content_hash("text/plain", b"b"));
        assert_ne!(hash, content_hash("text/html", b"a"));
        assert_ne!(hash, content_hash("text/plaina", b""));
    }
}
