use serde_json::Value;

use super::backend::{Backend, Reply, answer};
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, free_port};
use super::{DEADLINE, configuration, file, json_backend, path, pollux};

/// Waits until a replica leads, has said that it is there, and has polled `a`.
async fn settled(replica: &Replica) -> Value {
    eventually(DEADLINE, "the replica has a snapshot", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        let settled = report["leader"].is_object()
            && report["replicas"][0].is_object()
            && report["endpoints"][0]["version"].is_string();
        settled.then_some(report)
    })
    .await
}

/// The words of the first line that starts with `first`.
fn row<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let mut rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&first)).unwrap_or_else(|| panic!("no {first}:\n{text}"))
}

#[tokio::test]
async fn the_text_shows_leader_term_replicas_and_endpoints() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let report = settled(&replica).await;
    let outcome = pollux(&["status", "--url", &format!("http://{}", replica.admin)]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let text = &outcome.stdout;
    assert_eq!(row(text, "cluster"), ["cluster", "test"]);
    assert_eq!(row(text, "leader")[1], "castor");
    assert_eq!(row(text, "term")[1], report["term"].to_string());
    assert_eq!(row(text, "store"), ["store", "embedded"]);
    assert_eq!(row(text, "castor")[..3], ["castor", "leader", "all"]);
    let version = report["endpoints"][0]["version"].as_str().unwrap();
    let endpoint = row(text, "a");
    assert_eq!(endpoint[1], version);
    assert_eq!(endpoint[3..7], ["s", "200ms", "3", "B"]);
    assert_eq!(endpoint[8..10], ["s", "–"], "the next poll and the failures");
    assert!(endpoint[10].starts_with('█'), "the polls: {endpoint:?}");
    assert!(text.contains(" backend requests in "), "{text}");
    assert!(text.contains(" claimed"), "{text}");
}

#[tokio::test]
async fn the_json_is_that_of_the_admin_server() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    settled(&replica).await;
    let url = format!("http://{}/", replica.admin);
    let outcome = pollux(&["status", "--json", "--url", &url]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(printed["leader"]["replica"], "castor");
    assert_eq!(printed["endpoints"][0]["name"], "a");
    assert_eq!(printed["store"]["ok"], true);
}

#[tokio::test]
async fn a_configuration_names_the_admin_address() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let port = replica.admin.rsplit(':').next().unwrap();
    for listen in [replica.admin.clone(), format!("0.0.0.0:{port}")] {
        let admin = format!("admin: {{ listen: '{listen}' }}\n");
        let file = file(&configuration(&backend.url("/"), &admin));
        let outcome = pollux(&["status", "--config", path(&file)]).await;
        assert_eq!(outcome.status, Some(0), "{listen}: {}", outcome.stderr);
        assert_eq!(row(&outcome.stdout, "cluster"), ["cluster", "test"]);
    }
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_shown() {
    let mut redis = RedisServer::start().await;
    let url = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), &url)).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    settled(&replica).await;
    redis.kill().await;
    let outcome = pollux(&["status", "--url", &format!("http://{}", replica.admin)]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("redis does not answer: Redis at "), "{}", outcome.stdout);
    assert_eq!(row(&outcome.stdout, "leader")[1], "castor");
    assert_eq!(row(&outcome.stdout, "a")[0], "a");
}

#[tokio::test]
async fn where_nothing_answers_the_way_on_is_said() {
    let url = format!("http://127.0.0.1:{}/", free_port());
    let outcome = pollux(&["status", "--url", &url]).await;
    assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
    let said = outcome.stderr;
    assert!(said.starts_with(&format!("error: no replica answers at {url}: ")), "{said}");
    assert!(said.contains("--url or --config names another admin address"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn a_gateway_is_told_from_an_admin_server() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let url = format!("http://{}/", replica.gateway);
    let expected = format!(
        "error: {url} looks like a gateway's address: --url or --config names a replica's admin \
         address\n"
    );
    for arguments in [&["status", "--url", &url][..], &["status", "--watch", "--url", &url]] {
        let outcome = pollux(arguments).await;
        assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
        assert_eq!(outcome.stderr, expected);
    }
}

#[tokio::test]
async fn a_server_that_is_not_pollux_is_told_from_a_replica() {
    let json = [("content-type", "application/json")];
    let answers = [
        answer("200 OK", &json, b"{}"),
        answer("200 OK", &[], b"<html>"),
        answer("404 Not Found", &[], b""),
        b"220 smtp.example ESMTP\r\n\r\n".to_vec(),
    ];
    for bytes in answers {
        let other = Backend::start(Reply::BytesThenClose(bytes)).await;
        let outcome = pollux(&["status", "--url", &other.url("/")]).await;
        assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
        assert!(outcome.stderr.contains(&other.url("/")), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}
