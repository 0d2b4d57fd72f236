use axum::http::{HeaderMap, header};

use crate::model::Version;

/// The version that a request's `If-None-Match` says the client has, if that is at or above
/// `own`: then there is nothing newer to send (RFC 9110, section 13.1.2).
///
/// A tag above the gateway's own comes from one that is ahead, so the client must not be given
/// something older. Tags that are not versions match nothing.
pub(super) fn not_modified(headers: &HeaderMap, own: Version) -> Option<Version> {
    let values = headers.get_all(header::IF_NONE_MATCH).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .filter_map(|tag| match tag.trim() {
            "*" => Some(own),
            tag => version(tag),
        })
        .max()
        .filter(|has| *has >= own)
}

/// The version in a weak or strong tag.
fn version(tag: &str) -> Option<Version> {
    let opaque = tag.strip_prefix("W/").unwrap_or(tag);
    let text = opaque.strip_prefix('"')?.strip_suffix('"')?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn answer(values: &[&'static str]) -> Option<Version> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
        }
        not_modified(&headers, Version::new(7, 10))
    }

    #[test]
    fn a_tag_at_or_above_the_own_version_matches() {
        for (value, has) in [
            ("W/\"7-10\"", (7, 10)),
            ("\"7-10\"", (7, 10)),
            ("\"x\", W/\"7-10\"", (7, 10)),
            ("\"7-9\" ,\"8-1\"", (8, 1)),
            ("*", (7, 10)),
        ] {
            assert_eq!(answer(&[value]), Some(Version::new(has.0, has.1)), "{value}");
        }
        assert!(answer(&["\"7-9\"", "W/\"7-11\""]).is_some());
    }

    #[test]
    fn older_versions_and_foreign_tags_do_not_match() {
        for value in
            ["W/\"7-9\"", "\"6-99\"", "7-10", "\"abc\"", "\"\"", "", "W/", "\"", "w/\"7-10\""]
        {
            assert_eq!(answer(&[value]), None, "{value}");
        }
        assert_eq!(answer(&[]), None);
    }
}
