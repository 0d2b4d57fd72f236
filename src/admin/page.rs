//! The page at `/`: the cluster live, for people.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use super::AdminSource;

/// Nothing but what this server itself serves.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The page's parts. The program brings them along: nothing is loaded from elsewhere.
pub(super) fn routes() -> Router<AdminSource> {
    Router::new()
        .route("/", get(file("text/html", include_str!("page/page.html"))))
        .route("/page/page.css", get(file("text/css", include_str!("page/page.css"))))
        .route("/page/page.js", script(include_str!("page/page.js")))
        .route("/page/common.js", script(include_str!("page/common.js")))
        .route("/page/difference.js", script(include_str!("page/difference.js")))
        .route("/page/endpoints.js", script(include_str!("page/endpoints.js")))
        .route("/page/step-down.js", script(include_str!("page/step-down.js")))
        .route("/page/timeline.js", script(include_str!("page/timeline.js")))
        .route("/page/icon.svg", get(file("image/svg+xml", include_str!("../demo/page/icon.svg"))))
}

fn script(text: &'static str) -> MethodRouter<AdminSource> {
    get(file("text/javascript", text))
}

/// Answers with a part of the page. It changes with the program, so nobody keeps it.
fn file(
    kind: &str,
    text: &'static str,
) -> impl Fn() -> std::future::Ready<Response> + Clone + use<> {
    let kind = HeaderValue::try_from(format!("{kind}; charset=utf-8"));
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    move || {
        let headers = [
            (header::CONTENT_TYPE, kind.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
            (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        std::future::ready((headers, text).into_response())
    }
}
