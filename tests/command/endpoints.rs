//! What the admin server shows of the data, and to whom.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use reqwest::{Response, StatusCode};
use rustix::process::Signal;
use serde_json::Value;

use super::backend::{Backend, Reply, answer};
use super::common::redis_server::RedisServer;
use super::common::replica::Replica;
use super::common::{eventually, free_port, http};
use super::{DEADLINE, configuration, json_backend};

async fn ask(replica: &Replica, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http().get(format!("http://{}{path}", replica.admin));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

async fn problem(replica: &Replica, path: &str) -> (u16, String) {
    let answer = ask(replica, path, &[]).await;
    let status = answer.status().as_u16();
    let document: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    (status, document["detail"].as_str().unwrap().to_owned())
}

/// The answer once there is something to be shown.
async fn shown(replica: &Replica, path: &str) -> Response {
    eventually(DEADLINE, "the endpoint is shown", || async {
        let answer = ask(replica, path, &[]).await;
        answer.status().is_success().then_some(answer)
    })
    .await
}

#[tokio::test]
async fn a_body_is_shown_where_it_can_do_nothing() {
    let page = answer("200 OK", &[("content-type", "text/html")], b"<script>alert(1)</script>");
    let backend = Backend::start(Reply::Bytes(page)).await;
    let more = "defaults: { expect: { content_type: text/html } }\n";
    let replica = Replica::start("castor", &configuration(&backend.url("/"), more)).await;
    let answer = shown(&replica, "/v1/endpoints/a").await;
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/html");
    assert_eq!(header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(answer.text().await.unwrap(), "<script>alert(1)</script>");
}

#[tokio::test]
async fn a_replica_that_does_not_serve_shows_what_the_store_has() {
    let backend = json_backend("[7]").await;
    let replica = Replica::start_with("castor", &configuration(&backend.url("/"), ""), |command| {
        command.args(["--role", "poller"]);
    })
    .await;
    let body = shown(&replica, "/v1/endpoints/a").await.text().await.unwrap();
    assert_eq!(body, "[7]");
    assert_eq!(replica.admin_json("/v1/cluster").await.unwrap()["endpoints"], Value::Null);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    let replica = Replica::start("castor", &configuration(&url, "")).await;
    let (status, detail) = problem(&replica, "/v1/endpoints/unknown").await;
    assert_eq!(
        (status, &*detail),
        (404, "no endpoint of that name is configured here: see /v1/cluster")
    );
    let (status, detail) = problem(&replica, "/v1/endpoints/a").await;
    assert_eq!((status, &*detail), (503, "a was never fetched yet"));
    let (status, detail) = problem(&replica, "/v1/endpoints/a/history").await;
    assert_eq!(status, 404);
    assert!(detail.starts_with("no history is kept: the setting history"), "{detail}");
}

#[tokio::test]
async fn the_history_has_the_last_two_publications() {
    let redis = RedisServer::start().await;
    let polls = AtomicU32::new(0);
    let backend = Backend::listen(move |_| {
        let body = format!("[{}]", polls.fetch_add(1, Relaxed).min(3));
        let head = [("content-type", "application/json")];
        Reply::Bytes(answer("200 OK", &head, body.as_bytes()))
    })
    .await;
    let more = format!("history: 100\nredis: {{ url: \"{}\" }}\n", redis.url());
    let replica = Replica::start("castor", &configuration(&backend.url("/"), &more)).await;
    let history = eventually(DEADLINE, "the last change is published", || async {
        let history = replica.admin_json("/v1/endpoints/a/history").await?;
        (history["publications"][0]["data"][0] == 3).then_some(history)
    })
    .await;
    assert_eq!(history["publications"].as_array().unwrap().len(), 2, "{history}");
    assert_eq!(history["publications"][1]["data"][0], 2, "{history}");
}

#[tokio::test]
async fn one_history_is_read_at_a_time() {
    let redis = RedisServer::start().await;
    let backend = json_backend("[1]").await;
    let more = format!("history: 100\nredis: {{ url: \"{}\" }}\n", redis.url());
    let replica = Replica::start("castor", &configuration(&backend.url("/"), &more)).await;
    redis.signal(Signal::STOP);
    let history = || ask(&replica, "/v1/endpoints/a/history", &[]);
    let answers = <[Response; 2]>::from(tokio::join!(history(), history()));
    redis.signal(Signal::CONT);
    let mut refused = 0;
    for answer in answers {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        if answer.headers().contains_key("retry-after") {
            refused += 1;
            let detail = answer.text().await.unwrap();
            assert!(detail.contains("this replica reads one at a time: ask again"), "{detail}");
        }
    }
    assert_eq!(refused, 1, "the other waits for the store in vain");
    eventually(DEADLINE, "a history is read again", || async {
        history().await.status().is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn other_websites_are_refused_and_probes_are_not() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let foreign: [&[(&str, &str)]; 3] = [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")],
        &[("host", "evil.example:9090")],
    ];
    let paths = ["/", "/page/page.js", "/v1/cluster", "/v1/cluster/stream", "/v1/polls"];
    for headers in foreign {
        for path in paths.into_iter().chain(["/v1/endpoints/a", "/v1/endpoints/a/history"]) {
            let answer = ask(&replica, path, headers).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {headers:?}");
        }
        let step_down = http().post(format!("http://{}/v1/step-down", replica.admin));
        let step_down =
            headers.iter().fold(step_down, |post, (name, value)| post.header(*name, *value));
        assert_eq!(step_down.send().await.unwrap().status(), StatusCode::FORBIDDEN, "{headers:?}");
        assert!(ask(&replica, "/livez", headers).await.status().is_success());
        assert!(ask(&replica, "/metrics", headers).await.status().is_success());
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let page = ask(&replica, "/", &[]).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"));
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    let text = page.text().await.unwrap();
    let quoted = text.split('"').filter(|part| part.starts_with('/') || part.contains("://"));
    for path in quoted {
        assert!(ask(&replica, path, &[]).await.status().is_success(), "{path}");
    }
}
