//! Where a poll lets itself be sent.

use reqwest::header::LOCATION;
use reqwest::{Response, Url};

use super::{credentials, excerpt, failure};

/// How many redirects of one poll are followed.
const MOST_REDIRECTS: usize = 5;

/// A redirect that is not followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RefusedRedirect {
    /// Following it would hand the endpoint's headers to somebody else.
    #[error("redirected to another origin, {0}; if that is the right place, make it the url")]
    OtherOrigin(String),
    /// It may never end.
    #[error("more than {MOST_REDIRECTS} redirects, the last to {0}; make the final place the url")]
    TooMany(String),
    /// It leads nowhere.
    #[error("redirected to something that is no address: {0}")]
    NoAddress(url::ParseError),
}

/// Where an answer sends a poll that asked `at` and was sent on `followed` times before; `None`: it
/// is no redirect, or names no place.
pub(super) fn next(
    at: &Url,
    followed: usize,
    response: &Response,
) -> Result<Option<Url>, RefusedRedirect> {
    if !failure::is_redirect(response.status()) {
        return Ok(None);
    }
    let Some(place) = response.headers().get(LOCATION) else { return Ok(None) };
    resolve(at, followed, &String::from_utf8_lossy(place.as_bytes())).map(Some)
}

/// Stays within the origin, a few times. Credentials are in a header, wherever it leads.
fn resolve(at: &Url, followed: usize, place: &str) -> Result<Url, RefusedRedirect> {
    let next = at.join(place).map_err(RefusedRedirect::NoAddress)?;
    if next.origin() != at.origin() {
        return Err(RefusedRedirect::OtherOrigin(excerpt::place(&next)));
    }
    if followed >= MOST_REDIRECTS {
        return Err(RefusedRedirect::TooMany(excerpt::place(&next)));
    }
    Ok(credentials::without(&next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(place: &str) -> Result<String, RefusedRedirect> {
        let at = Url::parse("http://user:pw@a.example/b/c?key=1").unwrap();
        resolve(&at, 0, place).map(|url| url.to_string())
    }

    #[test]
    fn a_place_is_relative_to_what_was_asked() {
        assert_eq!(resolved("d?e").unwrap(), "http://a.example/b/d?e");
        assert_eq!(resolved("/d").unwrap(), "http://a.example/d");
        assert_eq!(resolved("http://u:p@a.example:80/").unwrap(), "http://a.example/");
    }

    #[test]
    fn another_origin_is_refused_without_its_secrets() {
        for place in ["https://a.example/", "//b.example/", "http://a.example:81/", "mailto:a@b"] {
            assert!(matches!(resolved(place), Err(RefusedRedirect::OtherOrigin(_))), "{place}");
        }
        let error = resolved("http://u:p@b.example/x?ticket=1").unwrap_err().to_string();
        assert!(error.contains("http://b.example/x;"), "{error}");
    }
}
