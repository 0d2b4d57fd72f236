//! Keeps other websites from pressing the page's buttons.

use axum::http::{HeaderMap, StatusCode, header};

use crate::http::Problem;

/// Accepts a request of the page itself, or of a program that is no browser.
///
/// Browsers say where a request comes from in `Sec-Fetch-Site` (W3C Fetch Metadata), older ones
/// in `Origin` alone.
pub(super) fn same_site(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let own = match (text("sec-fetch-site"), text(header::ORIGIN.as_str())) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = text(header::HOST.as_str()).unwrap_or_default();
            origin.strip_prefix("http://") == Some(host)
        }
        (None, None) => true,
    };
    own.then_some(()).ok_or_else(|| {
        Problem::new(StatusCode::FORBIDDEN, "another website may not do this: use the demo's page")
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn accepted(headers: &[(&'static str, &'static str)]) -> bool {
        let header =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        same_site(&headers.iter().map(header).collect()).is_ok()
    }

    #[test]
    fn the_page_and_programs_are_accepted() {
        assert!(accepted(&[]));
        assert!(accepted(&[("sec-fetch-site", "same-origin")]));
        assert!(accepted(&[("host", "127.0.0.1:8080"), ("origin", "http://127.0.0.1:8080")]));
    }

    #[test]
    fn other_websites_are_refused() {
        assert!(!accepted(&[("sec-fetch-site", "cross-site")]));
        assert!(!accepted(&[("sec-fetch-site", "same-site")]));
        assert!(!accepted(&[("host", "127.0.0.1:8080"), ("origin", "http://example.com")]));
        assert!(!accepted(&[("host", "127.0.0.1:8080"), ("origin", "null")]));
    }
}
