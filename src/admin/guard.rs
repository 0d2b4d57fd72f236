//! Keeps other websites from looking in, or pressing the page's buttons.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

use super::AdminState;
use crate::http::{Peer, Problem};

/// What every browser sends along with some request or other. To a name without TLS none sends
/// `Sec-Fetch-*`, and with a page's requests to its own name no `Origin`; a page's script can change
/// its `Accept-Language`, and not leave it out.
const OF_BROWSERS: [&str; 5] =
    ["accept-language", "origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"];

/// Passes on requests of programs, of the page itself, and of people who follow a link to it.
pub(super) async fn own_requests(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let config = &state.config;
    let peer = request.extensions().get::<Peer>();
    let names = if config.admin.listen.ip().to_canonical().is_loopback() {
        Names::Local
    } else if peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback()) {
        Names::OwnForBrowsers(Url::parse(&config.address).ok())
    } else {
        Names::Any
    };
    match check(&names, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// By which names the replica may be asked. A website can make its own name lead to the machine of
/// whoever looks at it, and then reads as if it were the page.
#[derive(Debug)]
enum Names {
    /// Those of this machine: the server listens on loopback.
    Local,
    /// It listens elsewhere too, and the request comes over loopback: as from a browser through
    /// `kubectl port-forward`, or from a program through the proxy of a service mesh, which may use
    /// any name. A browser may use addresses, and the name in the replica's own address.
    OwnForBrowsers(Option<Url>),
    /// All.
    Any,
}

impl Names {
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let Some(host) = host(headers) else { return Ok(()) };
        let host = host.as_ref();
        match self {
            Self::Local if !host.is_some_and(is_local) => {
                Err("on loopback, ask for localhost or 127.0.0.1 by that name")
            }
            Self::OwnForBrowsers(own)
                if is_of_browser(headers)
                    && !host.is_some_and(|host| is_local_or_ip(host) || is_host_of(host, own)) =>
            {
                Err("in a browser and over loopback, as through kubectl port-forward, ask for \
                     localhost, an IP address or the host in the replica's setting address")
            }
            _ => Ok(()),
        }
    }
}

fn is_of_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(HeaderValue::as_bytes);
    OF_BROWSERS.iter().any(|name| headers.contains_key(*name))
        || agent.is_some_and(|agent| agent.starts_with(b"Mozilla/"))
}

fn is_local_or_ip(url: &Url) -> bool {
    is_local(url) || matches!(url.host(), Some(Host::Ipv4(_) | Host::Ipv6(_)))
}

fn is_host_of(url: &Url, own: &Option<Url>) -> bool {
    own.as_ref().is_some_and(|own| own.host().is_some() && own.host() == url.host())
}

fn check(names: &Names, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |detail: &str| Problem::new(StatusCode::FORBIDDEN, detail);
    names.check(headers).map_err(forbidden)?;
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
    use axum::http::HeaderName;

    use super::*;

    fn passes(names: &Names, method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let header =
            |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        check(names, method, &headers.iter().map(header).collect()).is_ok()
    }

    #[test]
    fn programs_and_the_page_itself_pass() {
        assert!(passes(&Names::Local, &Method::GET, &[]));
        for host in ["localhost:9090", "127.0.0.1:9090", "[::1]:9090", "127.0.0.1"] {
            assert!(passes(&Names::Local, &Method::GET, &[("host", host)]), "{host}");
        }
        for site in ["same-origin", "none"] {
            assert!(passes(&Names::Local, &Method::POST, &[("sec-fetch-site", site)]), "{site}");
        }
    }

    #[test]
    fn a_name_that_was_made_to_lead_here_is_refused_on_loopback_alone() {
        for host in ["evil.example:9090", "localhost.evil.example", "10.1.2.3", "", "["] {
            assert!(!passes(&Names::Local, &Method::GET, &[("host", host)]), "{host}");
            assert!(passes(&Names::Any, &Method::GET, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn another_website_may_link_here_and_no_more() {
        for site in ["cross-site", "same-site", "anything"] {
            let from = ("sec-fetch-site", site);
            let link = [from, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            let frame = [from, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert!(!passes(&Names::Any, &Method::GET, &[from]), "{site}");
            assert!(!passes(&Names::Any, &Method::GET, &frame), "{site}");
            assert!(!passes(&Names::Any, &Method::POST, &link), "{site}");
            assert!(passes(&Names::Any, &Method::GET, &link), "{site}");
        }
    }

    /// Over loopback, to a server that listens elsewhere too.
    fn passes_forwarded(headers: &[(&'static str, &'static str)]) -> bool {
        let own = Names::OwnForBrowsers(Url::parse("http://castor.example:9090").ok());
        passes(&own, &Method::GET, headers)
    }

    #[test]
    fn over_loopback_a_browser_asks_for_an_address_or_the_replicas_own_host() {
        let browser = ("accept-language", "en");
        let own = ["localhost:9090", "127.0.0.1:9090", "[::1]:9090", "10.1.2.3", "castor.example"];
        for host in own {
            assert!(passes_forwarded(&[("host", host), browser]), "{host}");
        }
        for host in ["evil.example:9090", "localhost.evil.example", "", "["] {
            for mark in OF_BROWSERS.map(|name| (name, "")).into_iter().chain([browser]) {
                assert!(!passes_forwarded(&[("host", host), mark]), "{host} {mark:?}");
            }
            let agent = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)");
            assert!(!passes_forwarded(&[("host", host), agent]), "{host}");
        }
    }

    #[test]
    fn over_loopback_a_program_asks_by_any_name_as_through_the_proxy_of_a_mesh() {
        let agent = ("user-agent", "curl/8.14.1");
        assert!(passes_forwarded(&[("host", "pollux.example.svc:9090"), agent, ("accept", "*/*")]));
        let nowhere = Names::OwnForBrowsers(None);
        assert!(passes(&nowhere, &Method::GET, &[("host", "pollux"), agent]));
        assert!(!passes(&nowhere, &Method::GET, &[("host", "pollux"), ("origin", "null")]));
    }
}
