use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use super::setup::{Setup, client};

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_endpoint_is_answered_with_its_body_and_its_facts() {
    let mut running = Setup::default().start().await;
    let version = running.publish("a", "text/csv; charset=utf-8", "x,y\r\n1,2\r\n").await;
    let response = running.get("/v1/endpoints/a").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), "text/csv; charset=utf-8");
    assert_eq!(header(&response, "etag"), format!("W/\"{version}\""));
    assert_eq!(header(&response, "vary"), "accept-encoding");
    assert_eq!(header(&response, "age"), "0");
    assert_eq!(header(&response, "pollux-stale"), "false");
    assert!(header(&response, "cache-control").contains("max-age=0"));
    assert_eq!(response.text().await.unwrap(), "x,y\r\n1,2\r\n");
    assert_eq!(running.hub.counts().reads, 1);
}

#[tokio::test]
async fn head_gives_the_facts_alone() {
    let mut running = Setup::default().start().await;
    running.publish("a", "application/json", "[1,2,3]").await;
    let address = format!("http://{}/v1/endpoints/a", running.address);
    let response = client().head(address).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-length"), "7");
    assert!(!header(&response, "etag").is_empty());
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_client_that_has_this_version_or_a_newer_one_gets_a_304() {
    let mut running = Setup::default().start().await;
    running.publish("a", "application/json", "1").await;
    let own = running.publish("a", "application/json", "2").await;
    for (sequence, status) in [(1, 200), (2, 304), (3, 304)] {
        let tag = format!("W/\"{}\"", running.version(sequence));
        let response = running.get_with("/v1/endpoints/a", &[("if-none-match", &tag)]).await;
        assert_eq!(response.status(), status, "{tag}");
        if status == 304 {
            assert_eq!(header(&response, "etag"), tag);
            assert_eq!(header(&response, "pollux-stale"), "false");
        } else {
            assert_eq!(header(&response, "etag"), format!("W/\"{own}\""));
        }
    }
}

#[tokio::test]
async fn the_list_tells_what_is_held_of_each_endpoint() {
    let mut running = Setup::default().start().await;
    let version = running.publish("b", "application/json", "1").await;
    let response = running.get("/v1/endpoints").await;
    assert_eq!(header(&response, "content-type"), "application/json");
    let text = response.text().await.unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    let [a, b, never] = list["endpoints"].as_array().unwrap().as_slice() else {
        panic!("{text}");
    };
    assert_eq!(
        (&a["name"], &b["name"], &never["name"]),
        (&"a".into(), &"b".into(), &"never".into())
    );
    assert_eq!(b["version"], version.to_string());
    assert!(b["age"].as_f64().unwrap() < 20.0);
    assert_eq!((&b["stale"], &b["every"]), (&false.into(), &2.0.into()));
    assert!(never["version"].is_null() && never["age"].is_null());
}

#[tokio::test]
async fn every_error_is_a_problem_document() {
    let running = Setup::default().start().await;
    let cases = [
        (Method::GET, "/v1/endpoints/unknown", 404),
        (Method::GET, "/v1/endpoints/%ff", 404),
        (Method::GET, "/v1/endpoints/never", 503),
        (Method::GET, "/v1/endpoints/", 404),
        (Method::GET, "/", 404),
        (Method::POST, "/v1/endpoints", 405),
        (Method::DELETE, "/v1/stream", 405),
        (Method::GET, "/v1/stream", 400),
        (Method::GET, "/v1/stream?endpoint=a&since=x", 400),
        (Method::GET, "/v1/stream?endpoint=unknown", 404),
    ];
    for (method, path, status) in cases {
        let address = format!("http://{}{path}", running.address);
        let response = client().request(method, address).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(header(&response, "content-type"), "application/problem+json", "{path}");
        if status == 405 {
            assert_eq!(header(&response, "allow"), "GET,HEAD", "{path}");
        }
        let document: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(document["status"], status, "{path}");
        for member in ["type", "title", "detail"] {
            assert!(document[member].is_string(), "{path}: {member}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_never_fetched_says_when_to_try_again() {
    let running = Setup::default().start().await;
    let response = running.get("/v1/endpoints/never").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, "retry-after"), "2");
}
