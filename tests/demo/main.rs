//! `pollux demo`, as a newcomer runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the exemption for tests does not reach their helpers"
)]

mod backend;
mod page;
mod process;

use std::time::Duration;

use pollux::model::Version;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use page::{Visitor, json_of};
use process::{Demo, run_to_end};

const ENDPOINTS: [&str; 4] = ["prices", "departures", "weather", "status"];

fn led(state: &Value) -> bool {
    state["leader"].is_string()
}

fn all_served(state: &Value) -> bool {
    let endpoints = state["endpoints"].as_array().unwrap();
    endpoints.len() == 4 && endpoints.iter().all(|endpoint| endpoint["version"].is_string())
}

fn version(publication: &Value) -> Version {
    publication["version"].as_str().unwrap().parse().unwrap()
}

/// What happened to whom, the newest first.
fn story(state: &Value) -> Vec<(&str, &str)> {
    let changes = state["timeline"].as_array().unwrap();
    changes
        .iter()
        .map(|change| (change["event"].as_str().unwrap(), change["replica"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn the_page_and_its_parts_are_served_and_allow_nothing_from_elsewhere() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    let page = visitor.get("/").await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    let text = page.text().await.unwrap();
    assert!(text.contains("Crash the leader"));
    for (path, kind) in [
        ("/demo/page.css", "text/css"),
        ("/demo/page.js", "text/javascript"),
        ("/demo/chart.js", "text/javascript"),
        ("/demo/icon.svg", "image/svg+xml"),
    ] {
        let part = visitor.get(path).await;
        assert_eq!(part.status(), StatusCode::OK, "{path}");
        assert!(part.headers()["content-type"].to_str().unwrap().starts_with(kind), "{path}");
    }
}

#[tokio::test]
async fn one_of_three_replicas_leads_and_four_endpoints_are_served() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    let state = visitor.state(|state| led(state) && all_served(state)).await;
    let roles = |role: &str| {
        let replicas = state["replicas"].as_array().unwrap();
        replicas.iter().filter(|replica| replica["role"] == role).count()
    };
    assert_eq!((roles("leading"), roles("standby")), (1, 2), "{state}");
    for name in ENDPOINTS {
        let answer = visitor.get(&format!("/v1/endpoints/{name}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
        assert!(json_of(answer).await.is_object(), "{name}");
    }
}

#[tokio::test]
async fn after_a_crash_another_replica_leads_within_five_seconds_and_the_data_go_on() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    visitor.state(|state| led(state) && all_served(state)).await;
    let before = version(&visitor.event("/v1/stream?endpoint=prices", |_| true).await);

    let crash: Value = json_of(visitor.post("/demo/crash", &[]).await).await;
    let at = Instant::now();
    let crashed = crash["replica"].as_str().unwrap();
    let state = visitor.state(|state| led(state) && state["leader"] != crashed).await;
    assert!(at.elapsed() < Duration::from_secs(5), "{:?}", at.elapsed());
    assert!(state["term"].as_u64() > crash["term"].as_u64(), "{state}");

    let term = state["term"].as_u64().unwrap();
    let path = format!("/v1/stream?endpoint=prices&since={before}");
    let after =
        visitor.event(&path, |event| event["version"].is_string() && version(event).term >= term);
    assert!(version(&after.await) > before);
}

#[tokio::test]
async fn a_crash_releases_nothing_and_the_replica_comes_back() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    visitor.state(led).await;
    let crash: Value = json_of(visitor.post("/demo/crash", &[]).await).await;
    let crashed = crash["replica"].as_str().unwrap();
    let down = |state: &Value| {
        let replicas = state["replicas"].as_array().unwrap();
        replicas.iter().any(|replica| replica["role"] == "crashed")
    };
    visitor.state(down).await;
    let state = visitor.state(|state| led(state) && !down(state)).await;
    let successor = state["leader"].as_str().unwrap();
    let told = story(&state);
    assert_eq!(told[..2], [("claimed", successor), ("crashed", crashed)], "{state}");
    assert_eq!(state["timeline"][0]["cause"], "crashed", "{state}");
}

#[tokio::test]
async fn readers_come_and_go_as_asked() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    visitor.state(|state| state["readers"]["clients"] == json!(100)).await;
    let granted: Value = json_of(visitor.post("/demo/readers?count=7", &[]).await).await;
    assert_eq!(granted, json!({ "count": 7 }));
    visitor.state(|state| state["readers"]["clients"] == json!(7)).await;
    let more = visitor.post("/demo/readers?count=1001", &[]).await;
    assert_eq!(more.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn another_website_cannot_press_the_buttons() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    let before = visitor.state(led).await;
    for path in ["/demo/crash", "/demo/readers?count=0"] {
        let answer = visitor.post(path, &[("sec-fetch-site", "cross-site")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
    }
    let after = visitor.state(|_| true).await;
    assert_eq!(after["timeline"], before["timeline"]);
    assert_eq!(after["readers"]["wanted"], json!(100));
}

#[tokio::test]
async fn ctrl_c_ends_it_with_status_0_a_free_port_and_no_complaint() {
    let demo = Demo::start().await;
    let visitor = Visitor::of(&demo);
    visitor.state(|state| led(state) && all_served(state)).await;
    let _open =
        (visitor.get("/demo/events").await, visitor.get("/v1/stream?endpoint=prices").await);
    let host = demo.host().to_owned();
    let ended = demo.interrupt().await;
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""));
    assert!(TcpStream::connect(&host).await.is_err());
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = run_to_end(&["--port", &port.to_string()]).await;
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains(&format!("127.0.0.1:{port}")), "{}", ended.stderr);
    assert!(ended.stderr.contains("--port"), "{}", ended.stderr);
}
