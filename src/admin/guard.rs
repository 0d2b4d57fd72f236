//! Keeps other websites from looking in, or pressing the page's buttons.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use super::AdminState;
use crate::http::Problem;

/// Passes on requests of programs, of the page itself, and of people who follow a link to it.
pub(super) async fn own_requests(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let on_loopback = state.config.admin.listen.ip().to_canonical().is_loopback();
    match check(on_loopback, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(on_loopback: bool, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |detail: &str| Problem::new(StatusCode::FORBIDDEN, detail);
    // A website can make its own name lead to this machine, and then reads as if it were the page.
    if on_loopback && host(headers).is_some_and(|host| !host.as_ref().is_some_and(is_local)) {
        return Err(forbidden("on loopback, ask for localhost or 127.0.0.1 by that name"));
    }
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let own = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let link = method == Method::GET
        && text("sec-fetch-mode") == Some("navigate")
        && text("sec-fetch-dest") == Some("document");
    match own || link {
        true => Ok(()),
        false => Err(forbidden("another website may not do this: use the replica's own page")),
    }
}

/// Where the client thinks that it is; `None` where it does not say.
pub(super) fn host(headers: &HeaderMap) -> Option<Option<Url>> {
    let host = headers.get(header::HOST)?.to_str().ok();
    Some(host.and_then(|host| Url::parse(&format!("http://{host}")).ok()))
}

/// Whether a URL names this very machine, however names are resolved.
pub(super) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn passes(
        on_loopback: bool,
        method: &Method,
        headers: &[(&'static str, &'static str)],
    ) -> bool {
        let header =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        check(on_loopback, method, &headers.iter().map(header).collect()).is_ok()
    }

    #[test]
    fn programs_and_the_page_itself_pass() {
        assert!(passes(true, &Method::GET, &[]));
        for host in ["localhost:9090", "127.0.0.1:9090", "[::1]:9090", "127.0.0.1"] {
            assert!(passes(true, &Method::GET, &[("host", host)]), "{host}");
        }
        for site in ["same-origin", "none"] {
            assert!(passes(true, &Method::POST, &[("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_refused_on_loopback_alone() {
        for host in ["evil.example:9090", "localhost.evil.example", "10.1.2.3", "", "["] {
            assert!(!passes(true, &Method::GET, &[("host", host)]), "{host}");
            assert!(passes(false, &Method::GET, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn another_website_may_link_here_and_no_more() {
        for site in ["cross-site", "same-site", "anything"] {
            let from = ("sec-fetch-site", site);
            let link = [from, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            let frame = [from, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert!(!passes(false, &Method::GET, &[from]), "{site}");
            assert!(!passes(false, &Method::GET, &frame), "{site}");
            assert!(!passes(false, &Method::POST, &link), "{site}");
            assert!(passes(false, &Method::GET, &link), "{site}");
        }
    }
}
