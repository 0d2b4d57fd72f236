//! Polls against backends that do everything a backend can do wrong.

#![allow(clippy::unwrap_used, reason = "the exemption for tests does not reach their helpers")]

mod backend;

use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZstdEncoder};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use backend::{Backend, Reply, answer};
use pollux::config::{EndpointConfig, Expectation, Secret};
use pollux::model::{Body, EndpointName};
use pollux::poller::{Fetched, Fetcher, PollFailure, PollFailureKind, Validators, content_hash};
use tokio::io::AsyncWriteExt as _;
use url::Url;

const PRICES: &[u8] = b"{\"price\":1}";
const JSON: (&str, &str) = ("content-type", "application/json");

fn endpoint(url: &str) -> EndpointConfig {
    EndpointConfig {
        name: EndpointName::new("prices").unwrap(),
        url: Url::parse(url).unwrap(),
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        max_body: 1024 * 1024,
        stale_after: Duration::from_secs(30),
        headers: Vec::new(),
        expect: Expectation::Json,
    }
}

fn with_header(mut endpoint: EndpointConfig, name: &str, value: &str) -> EndpointConfig {
    let value = Secret::new(value.to_owned());
    endpoint.headers.push((name.to_owned(), value));
    endpoint
}

fn expecting(mut endpoint: EndpointConfig, media_type: &str) -> EndpointConfig {
    endpoint.expect = Expectation::ContentType(vec![media_type.to_owned()]);
    endpoint
}

async fn fetch(endpoint: &EndpointConfig) -> Result<Fetched, PollFailure> {
    let fetcher = Fetcher::new(std::slice::from_ref(endpoint)).unwrap();
    fetcher.fetch(endpoint, &Validators::default()).await
}

/// Polls a backend that answers with `reply`.
async fn fetch_reply(reply: Reply) -> Result<Fetched, PollFailure> {
    let backend = Backend::start(reply).await;
    fetch(&endpoint(&backend.url("/prices"))).await
}

/// Asserts kind and words of a failure.
#[track_caller]
fn assert_failure(result: Result<Fetched, PollFailure>, kind: PollFailureKind, words: &[&str]) {
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, kind, "{failure}");
    for word in words {
        assert!(failure.message.contains(word), "no {word:?} in: {failure}");
    }
}

#[track_caller]
fn body_of(result: Result<Fetched, PollFailure>) -> Body {
    match result.unwrap() {
        Fetched::Body { body, .. } => body,
        Fetched::NotModified => panic!("not modified"),
    }
}

async fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(plain).await.unwrap();
    encoder.shutdown().await.unwrap();
    encoder.into_inner()
}

// Good answers

#[tokio::test]
async fn a_json_body_comes_with_type_validators_and_hash() {
    let headers = [JSON, ("etag", "\"v1\""), ("last-modified", "Sat, 21 Nov 2026 00:00:00 GMT")];
    let fetched = fetch_reply(Reply::Bytes(answer("200 OK", &headers, PRICES))).await;
    let expected = Fetched::Body {
        content_type: "application/json".to_owned(),
        body: Body::Json(PRICES.into()),
        validators: Validators {
            etag: Some("\"v1\"".to_owned()),
            last_modified: Some("Sat, 21 Nov 2026 00:00:00 GMT".to_owned()),
        },
        hash: content_hash("application/json", PRICES),
    };
    assert_eq!(fetched.unwrap(), expected);
}

#[tokio::test]
async fn a_missing_content_type_is_taken_for_the_expected_one() {
    let reply = Reply::Bytes(answer("200 OK", &[], PRICES));
    let Ok(Fetched::Body { content_type, .. }) = fetch_reply(reply.clone()).await else {
        panic!("no body");
    };
    assert_eq!(content_type, "application/json");

    let backend = Backend::start(reply).await;
    let endpoint = expecting(endpoint(&backend.url("/")), "application/*");
    let Ok(Fetched::Body { content_type, .. }) = fetch(&endpoint).await else {
        panic!("no body");
    };
    assert_eq!(content_type, "application/octet-stream");
}

#[tokio::test]
async fn an_expected_media_type_may_hold_anything() {
    let headers = [("content-type", "image/png")];
    let backend = Backend::start(Reply::Bytes(answer("200 OK", &headers, b"\x89PNG"))).await;
    let endpoint = expecting(endpoint(&backend.url("/")), "image/*");
    let body = body_of(fetch(&endpoint).await);
    assert_eq!(body, Body::Binary(b"\x89PNG"[..].into()));
}

#[tokio::test]
async fn gzip_brotli_and_zstd_are_asked_for_and_decoded() {
    let mut brotli = BrotliEncoder::new(Vec::new());
    brotli.write_all(PRICES).await.unwrap();
    brotli.shutdown().await.unwrap();
    let mut zstd = ZstdEncoder::new(Vec::new());
    zstd.write_all(PRICES).await.unwrap();
    zstd.shutdown().await.unwrap();

    for (encoding, bytes) in
        [("gzip", gzip(PRICES).await), ("br", brotli.into_inner()), ("zstd", zstd.into_inner())]
    {
        let headers = [JSON, ("content-encoding", encoding)];
        let backend = Backend::start(Reply::Bytes(answer("200 OK", &headers, &bytes))).await;
        let body = body_of(fetch(&endpoint(&backend.url("/"))).await);
        assert_eq!(body, Body::Json(PRICES.into()), "{encoding}");
        let request = &backend.requests()[0];
        let accepted = request.lines().find(|line| line.starts_with("accept-encoding:"));
        assert!(accepted.unwrap().contains(encoding), "{request}");
    }
}

#[tokio::test]
async fn many_polls_share_one_connection() {
    let backend = Backend::start(Reply::Bytes(answer("200 OK", &[JSON], PRICES))).await;
    let endpoint = endpoint(&backend.url("/"));
    let fetcher = Fetcher::new(std::slice::from_ref(&endpoint)).unwrap();
    for _ in 0..50 {
        body_of(fetcher.fetch(&endpoint, &Validators::default()).await);
    }
    assert_eq!(backend.requests().len(), 50);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn requests_carry_the_user_agent_and_the_configured_headers() {
    let backend = Backend::start(Reply::Bytes(answer("200 OK", &[JSON], PRICES))).await;
    let endpoint = with_header(endpoint(&backend.url("/a?b=c")), "X-Api-Key", "s3cret-key");
    body_of(fetch(&endpoint).await);
    let request = &backend.requests()[0];
    assert!(request.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{request}");
    let user_agent = concat!("user-agent: Pollux/", env!("CARGO_PKG_VERSION"), "\r\n");
    assert!(request.contains(user_agent), "{request}");
    assert!(request.contains("x-api-key: s3cret-key\r\n"), "{request}");
}

#[tokio::test]
async fn credentials_in_the_url_are_sent_instead_of_a_default_and_wherever_a_redirect_leads() {
    let backend = Backend::listen(|head| match head.starts_with("GET /0 ") {
        true => redirect_to("/1"),
        false => Reply::Bytes(answer("200 OK", &[JSON], PRICES)),
    })
    .await;
    let url = format!("http://user:p%40ss@{}/0", backend.address);
    let endpoint = with_header(endpoint(&url), "Authorization", "Bearer a-default");
    body_of(fetch(&endpoint).await);
    let requests = backend.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        // user:p@ss
        assert!(request.contains("authorization: Basic dXNlcjpwQHNz\r\n"), "{request}");
        assert!(!request.contains("a-default"), "{request}");
        assert!(request.contains(&format!("host: {}\r\n", backend.address)), "{request}");
    }
}

// Conditional requests

/// A backend whose answer has an ETag and a date, and which knows them again.
async fn conditional_backend() -> (tokio::task::JoinHandle<()>, String) {
    let handler = |headers: HeaderMap| async move {
        let sent = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let current = sent(header::IF_NONE_MATCH) == Some("W/\"7\"")
            || sent(header::IF_MODIFIED_SINCE) == Some("Sat, 21 Nov 2026 00:00:00 GMT");
        if current {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let validators =
            [(header::ETAG, "W/\"7\""), (header::LAST_MODIFIED, "Sat, 21 Nov 2026 00:00:00 GMT")];
        (validators, axum::Json(1)).into_response()
    };
    let router = axum::Router::new().route("/", get(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (serving, url)
}

#[tokio::test]
async fn the_validators_of_an_answer_spare_the_next_one() {
    let (_serving, url) = conditional_backend().await;
    let endpoint = endpoint(&url);
    let fetcher = Fetcher::new(std::slice::from_ref(&endpoint)).unwrap();
    let first = fetcher.fetch(&endpoint, &Validators::default()).await;
    let Ok(Fetched::Body { validators, .. }) = first else {
        panic!("{first:?}");
    };
    let only_etag = Validators { last_modified: None, ..validators.clone() };
    let only_date = Validators { etag: None, ..validators.clone() };
    for validators in [validators, only_etag, only_date] {
        let again = fetcher.fetch(&endpoint, &validators).await;
        assert_eq!(again.unwrap(), Fetched::NotModified);
    }
}

#[tokio::test]
async fn a_304_that_nobody_asked_for_is_a_failure() {
    let reply = Reply::Bytes(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec());
    let backend = Backend::start(reply).await;
    let endpoint = endpoint(&backend.url("/"));
    assert_failure(fetch(&endpoint).await, PollFailureKind::Status, &["304"]);

    // A validator that cannot be sent asks for nothing.
    let unsendable = Validators { etag: Some("a\nb".to_owned()), last_modified: None };
    let fetcher = Fetcher::new(std::slice::from_ref(&endpoint)).unwrap();
    let result = fetcher.fetch(&endpoint, &unsendable).await;
    assert_failure(result, PollFailureKind::Status, &["304"]);
}

// No connection

#[tokio::test]
async fn a_closed_port_is_a_failure_to_connect() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/prices", listener.local_addr().unwrap());
    drop(listener);
    let words = [url.as_str(), "cannot connect", "refused", "port"];
    assert_failure(fetch(&endpoint(&url)).await, PollFailureKind::Connect, &words);
}

#[tokio::test]
async fn an_unknown_host_is_a_failure_to_resolve() {
    let result = fetch(&endpoint("http://does-not-exist.invalid/prices")).await;
    let words = ["cannot resolve does-not-exist.invalid: ", "check the url"];
    assert_failure(result, PollFailureKind::Resolve, &words);
}

#[tokio::test]
async fn tls_to_a_plain_port_is_a_failure_of_tls() {
    let plain = speaking_first(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let url = format!("https://127.0.0.1:{}/prices", plain.port());
    let words = ["no TLS", "http:"];
    assert_failure(fetch(&endpoint(&url)).await, PollFailureKind::Tls, &words);
}

#[tokio::test]
async fn a_connection_closed_in_the_handshake_is_a_failure_of_tls() {
    let closing = speaking_first(b"").await;
    let url = format!("https://127.0.0.1:{}/prices", closing.port());
    assert_failure(fetch(&endpoint(&url)).await, PollFailureKind::Tls, &["no TLS"]);
}

/// A server that reads a little, writes `bytes` whatever comes, and closes.
async fn speaking_first(bytes: &'static [u8]) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::AsyncReadExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
        stream.write_all(bytes).await.unwrap();
    });
    address
}

#[tokio::test]
async fn a_handshake_without_an_answer_ends_at_the_connect_timeout() {
    let backend = Backend::start(Reply::BytesThenHang(Vec::new())).await;
    let mut endpoint = endpoint(&format!("https://{}/", backend.address));
    endpoint.connect_timeout = Duration::from_millis(100);
    let words = ["no connection within 100ms"];
    assert_failure(fetch(&endpoint).await, PollFailureKind::Timeout, &words);
}

// Broken connections

#[tokio::test]
async fn a_backend_that_hangs_before_the_headers_times_out() {
    let backend = Backend::start(Reply::BytesThenHang(Vec::new())).await;
    let mut endpoint = endpoint(&backend.url("/prices"));
    endpoint.timeout = Duration::from_millis(200);
    let words = ["/prices", "no answer within 200ms"];
    assert_failure(fetch(&endpoint).await, PollFailureKind::Timeout, &words);
}

#[tokio::test]
async fn a_backend_that_hangs_in_the_body_times_out() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"price\"".to_vec();
    let backend = Backend::start(Reply::BytesThenHang(half)).await;
    let mut endpoint = endpoint(&backend.url("/prices"));
    endpoint.timeout = Duration::from_millis(200);
    let words = ["not complete within 200ms", "8 bytes"];
    assert_failure(fetch(&endpoint).await, PollFailureKind::Timeout, &words);
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_a_failure_to_connect() {
    let result = fetch_reply(Reply::BytesThenClose(Vec::new())).await;
    assert_failure(result, PollFailureKind::Connect, &["before an answer"]);
}

#[tokio::test]
async fn a_connection_closed_in_the_body_is_a_failure_to_connect() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"price\"".to_vec();
    let result = fetch_reply(Reply::BytesThenClose(half)).await;
    let words = ["middle of the body", "after 8 bytes"];
    assert_failure(result, PollFailureKind::Connect, &words);
}

#[tokio::test]
async fn a_connection_closed_in_a_compressed_body_is_a_failure_to_connect() {
    let zipped = gzip(PRICES).await;
    let headers = [JSON, ("content-encoding", "gzip")];
    let mut half = answer("200 OK", &headers, &zipped);
    half.truncate(half.len() - 10);
    let result = fetch_reply(Reply::BytesThenClose(half)).await;
    assert_failure(result, PollFailureKind::Connect, &["middle of the body"]);
}

#[tokio::test]
async fn garbage_in_place_of_http_is_a_failure_to_decode() {
    let result = fetch_reply(Reply::BytesThenClose(b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec())).await;
    assert_failure(result, PollFailureKind::Decode, &["not HTTP", "port"]);
}

#[tokio::test]
async fn broken_chunks_are_a_failure_to_decode() {
    let broken = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec();
    let result = fetch_reply(Reply::BytesThenClose(broken)).await;
    assert_failure(result, PollFailureKind::Decode, &["framing"]);
}

// Bodies that are too large or broken

#[tokio::test]
async fn a_body_without_end_is_read_no_further_than_its_cap() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    let backend = Backend::start(Reply::Endless(head, vec![b' '; 64 * 1024])).await;
    let result = fetch(&endpoint(&backend.url("/"))).await;
    assert_failure(result, PollFailureKind::TooLarge, &["1048576", "max_body"]);
    // The cap, and what lies in the buffers of both sockets.
    let written = backend.written();
    assert!(written < 32 * 1024 * 1024, "{written} bytes");
}

#[tokio::test]
async fn an_announced_size_beyond_the_cap_is_refused_at_once() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    let result = fetch_reply(Reply::BytesThenHang(head)).await;
    assert_failure(result, PollFailureKind::TooLarge, &["max_body"]);
}

#[tokio::test]
async fn a_gzip_bomb_counts_by_what_it_unpacks_to() {
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]).await;
    assert!(bomb.len() < 1024 * 1024);
    let headers = [JSON, ("content-encoding", "gzip")];
    let result = fetch_reply(Reply::Bytes(answer("200 OK", &headers, &bomb))).await;
    assert_failure(result, PollFailureKind::TooLarge, &["max_body"]);
}

#[tokio::test]
async fn a_body_exactly_at_the_cap_is_taken() {
    let backend = Backend::start(Reply::Bytes(answer("200 OK", &[JSON], PRICES))).await;
    let mut endpoint = endpoint(&backend.url("/"));
    endpoint.max_body = PRICES.len() as u64;
    body_of(fetch(&endpoint).await);
    endpoint.max_body -= 1;
    assert_failure(fetch(&endpoint).await, PollFailureKind::TooLarge, &["10 bytes"]);
}

#[tokio::test]
async fn broken_gzip_is_a_failure_to_decode() {
    let headers = [JSON, ("content-encoding", "gzip")];
    let words = ["content encoding"];

    let not_gzip = Reply::Bytes(answer("200 OK", &headers, PRICES));
    assert_failure(fetch_reply(not_gzip).await, PollFailureKind::Decode, &words);

    let mut zipped = gzip(PRICES).await;
    zipped.truncate(zipped.len() - 10);
    let cut = Reply::Bytes(answer("200 OK", &headers, &zipped));
    assert_failure(fetch_reply(cut).await, PollFailureKind::Decode, &words);
}

#[tokio::test]
async fn an_unknown_content_encoding_is_a_failure_to_decode() {
    let headers = [JSON, ("content-encoding", "compress")];
    let result = fetch_reply(Reply::Bytes(answer("200 OK", &headers, PRICES))).await;
    assert_failure(result, PollFailureKind::Decode, &["\"compress\"", "gzip"]);
}

// Unexpected answers

#[tokio::test]
async fn an_error_status_is_a_failure() {
    let result = fetch_reply(Reply::Bytes(answer("500 Oops", &[JSON], PRICES))).await;
    let words = ["500 Internal Server Error", "2xx"];
    assert_failure(result, PollFailureKind::Status, &words);
    let result = fetch_reply(Reply::Bytes(answer("401 Unauthorized", &[], b""))).await;
    assert_failure(result, PollFailureKind::Status, &["401", "headers"]);
}

#[tokio::test]
async fn an_empty_body_is_unexpected() {
    for reply in [
        answer("200 OK", &[JSON], b""),
        answer("200 OK", &[JSON, ("content-encoding", "gzip")], b""),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
    ] {
        let result = fetch_reply(Reply::Bytes(reply)).await;
        assert_failure(result, PollFailureKind::Expect, &["body is empty"]);
    }
}

#[tokio::test]
async fn html_in_place_of_json_is_shown() {
    let page = "<!doctype html>\r\n<title>Sign in</title>".to_owned() + &"x".repeat(10_000);
    let headers = [("content-type", "text/html; charset=utf-8")];
    let result = fetch_reply(Reply::Bytes(answer("200 OK", &headers, page.as_bytes()))).await;
    let words = ["text/html", "“<!doctype html> <title>Sign in</title>x"];
    assert!(result.as_ref().unwrap_err().message.len() < 400);
    assert_failure(result, PollFailureKind::Expect, &words);
}

#[tokio::test]
async fn json_in_another_charset_is_unexpected() {
    let result = fetch_reply(Reply::Bytes(answer("200 OK", &[JSON], b"\"caf\xe9\""))).await;
    assert_failure(result, PollFailureKind::Expect, &["UTF-8"]);
}

#[tokio::test]
async fn another_media_type_is_unexpected() {
    let headers = [("content-type", "text/html")];
    let backend = Backend::start(Reply::Bytes(answer("200 OK", &headers, b"a"))).await;
    let endpoint = expecting(endpoint(&backend.url("/")), "text/csv");
    let words = ["expected text/csv", "got text/html"];
    assert_failure(fetch(&endpoint).await, PollFailureKind::Expect, &words);
}

// Redirects

fn redirect_to(place: &str) -> Reply {
    Reply::Bytes(answer("302 Found", &[("location", place)], b""))
}

#[tokio::test]
async fn redirects_within_the_origin_are_followed_with_headers() {
    let backend = Backend::listen(|head| {
        let hop: usize = head[5..6].parse().unwrap();
        if hop < 5 {
            redirect_to(&format!("/{}", hop + 1))
        } else {
            Reply::Bytes(answer("200 OK", &[JSON], PRICES))
        }
    })
    .await;
    let endpoint = with_header(endpoint(&backend.url("/0")), "X-Api-Key", "s3cret-key");
    body_of(fetch(&endpoint).await);
    let requests = backend.requests();
    assert_eq!(requests.len(), 6);
    assert!(requests.iter().all(|head| head.contains("s3cret-key")));
    assert!(requests.iter().all(|head| !head.contains("referer")));
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let backend = Backend::start(redirect_to("/loop?again")).await;
    let result = fetch(&endpoint(&backend.url("/loop"))).await;
    assert_failure(result, PollFailureKind::Redirect, &["more than 5 redirects"]);
    assert_eq!(backend.requests().len(), 6);
}

#[tokio::test]
async fn a_redirect_to_another_origin_is_not_followed() {
    let other = Backend::start(Reply::Bytes(answer("200 OK", &[JSON], PRICES))).await;
    let place = format!("http://user:pw@{}/elsewhere?ticket=1", other.address);
    let backend = Backend::start(redirect_to(&place)).await;
    let endpoint = with_header(endpoint(&backend.url("/")), "X-Api-Key", "s3cret-key");
    let result = fetch(&endpoint).await;
    let failure = result.clone().unwrap_err();
    assert!(!failure.message.contains("ticket"), "{failure}");
    assert!(!failure.message.contains("pw"), "{failure}");
    let place = other.url("/elsewhere");
    assert_failure(result, PollFailureKind::Redirect, &[&place, "make it the url"]);
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_a_failure() {
    for reply in [
        Reply::Bytes(answer("302 Found", &[], b"")),
        redirect_to("http://[broken/"),
        redirect_to("ftp://files.example/prices"),
    ] {
        assert_failure(fetch_reply(reply).await, PollFailureKind::Redirect, &["redirect"]);
    }
}

// Rest

#[tokio::test]
async fn a_busy_backend_may_ask_for_rest_wherever_a_redirect_leads() {
    let dated = [
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("retry-after", "Sun, 06 Nov 1994 08:51:07 GMT"),
    ];
    for (status, headers, rest) in [
        ("429 Too Many Requests", &[("retry-after", "3")][..], Some(3)),
        ("503 Service Unavailable", &dated, Some(90)),
        // By the wall clock, which is past that.
        ("503 Service Unavailable", &dated[1..], None),
        ("429 Too Many Requests", &[("retry-after", "soon")], None),
        ("500 Internal Server Error", &[("retry-after", "3")], None),
    ] {
        let busy = Reply::Bytes(answer(status, headers, b""));
        let backend = Backend::listen(move |head| match head.starts_with("GET /0 ") {
            true => {
                let elsewhere = [("location", "/1"), ("retry-after", "7")];
                Reply::Bytes(answer("302 Found", &elsewhere, b""))
            }
            false => busy.clone(),
        })
        .await;
        for path in ["/0", "/1"] {
            let failure = fetch(&endpoint(&backend.url(path))).await.unwrap_err();
            let told = failure.retry_after.map(|rest| rest.as_secs());
            assert_eq!((failure.kind, told), (PollFailureKind::Status, rest), "{failure}");
            assert_eq!(failure.message.contains("of rest"), rest.is_some(), "{failure}");
        }
    }
    let reply = Reply::Bytes(answer("429 Too Many Requests", &[("retry-after", "90")], b""));
    let words = ["429", "poll less often", "it asks for 1m 30s of rest"];
    assert_failure(fetch_reply(reply).await, PollFailureKind::Status, &words);
}

// Secrets

#[tokio::test]
async fn secrets_are_in_no_message() {
    let echo = |head: &str| {
        let page = format!("<h1>Your request</h1>{head}");
        let headers = [("content-type", "text/html")];
        Reply::BytesThenClose(answer("200 OK", &headers, page.as_bytes()))
    };
    let echoing = Backend::listen(echo).await;
    let failing = Backend::start(Reply::Bytes(answer("403 Forbidden", &[], b""))).await;
    let looping = Backend::start(redirect_to("/?key=query-secret")).await;
    let broken = Backend::start(Reply::BytesThenClose(Vec::new())).await;
    let plain = speaking_first(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;

    let mut origins: Vec<String> = [&echoing, &failing, &looping, &broken]
        .map(|backend| format!("http://user:url-password@{}", backend.address))
        .to_vec();
    origins.push(format!("https://user:url-password@{plain}"));
    origins.push("http://user:url-password@does-not-exist.invalid".to_owned());
    for origin in origins {
        let endpoint = endpoint(&format!("{origin}/?key=query-secret"));
        let endpoint = with_header(endpoint, "X-Api-Key", "header-secret");
        let failure = fetch(&endpoint).await.unwrap_err();
        let shown = format!("{failure} {failure:?} {endpoint:?}");
        assert!(!shown.contains("header-secret"), "{shown}");
        let shown = format!("{failure} {failure:?}");
        for secret in ["query-secret", "url-password", "dXNlcjp1cmwtcGFzc3dvcmQ="] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

#[tokio::test]
async fn headers_that_cannot_be_sent_are_refused_at_the_start_without_their_value() {
    let endpoint = with_header(endpoint("http://127.0.0.1/"), "X-Key", "header\nsecret");
    let error = Fetcher::new(&[endpoint]).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("prices") && shown.contains("X-Key"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}
