use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::setup::{Setup, endpoint};

const JSON: &str = "application/json";

#[tokio::test]
async fn a_stream_begins_with_the_snapshots_in_order_and_goes_on_with_each_change() {
    let mut running = Setup::default().start().await;
    let first = running.publish("b", JSON, "{\"n\":1}").await;
    let second = running.publish("a", JSON, "{\"n\":2}").await;
    let mut events = running.stream("endpoint=a&endpoint=b").await;
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    assert_eq!(events.headers()["x-accel-buffering"], "no");
    let caching = events.headers()["cache-control"].to_str().unwrap();
    assert!(caching.contains("no-store"), "{caching}");
    assert!(events.block().await.unwrap().retry.is_some());
    let block = events.event().await;
    assert_eq!(block.id, Some(first.to_string()));
    assert_eq!(block.event.as_deref(), Some("snapshot"));
    let publication: Value = serde_json::from_str(&block.data.unwrap()).unwrap();
    assert_eq!((&publication["endpoint"], &publication["data"]["n"]), (&"b".into(), &1.into()));
    assert_eq!(events.ids(1).await, [second.to_string()]);
    let third = running.publish("b", JSON, "3").await;
    assert_eq!(events.ids(1).await, [third.to_string()]);
    assert_eq!((running.hub.counts().deliveries, running.hub.counts().clients), (3, 1));
}

#[tokio::test]
async fn a_stream_resumes_after_what_the_client_has() {
    let mut running = Setup::default().start().await;
    let first = running.publish("a", JSON, "1").await.to_string();
    let second = running.publish("b", JSON, "2").await.to_string();
    let both = "endpoint=a&endpoint=b";
    let mut by_parameter = running.stream(&format!("{both}&since={first}")).await;
    let since_second = format!("{both}&since={second}");
    let mut by_header = running.stream_with(&since_second, &[("last-event-id", &first)]).await;
    let mut up_to_date = running.stream(&since_second).await;
    assert_eq!(by_parameter.ids(1).await, [&*second]);
    assert_eq!(by_header.ids(1).await, [second]);
    let third = running.publish("a", JSON, "3").await.to_string();
    assert_eq!(up_to_date.ids(1).await, [third]);
}

#[tokio::test]
async fn an_endpoint_that_went_takes_with_it_the_id_that_would_stand_for_it() {
    let mut running = Setup::default().start().await;
    let limit = Duration::from_secs(3600);
    running.publish("a", JSON, "1").await;
    running.publish("b", JSON, "2").await;
    let mut events = running.stream("endpoint=a&endpoint=b").await;
    events.ids(2).await;
    running.hub.reconfigure(&[endpoint("a", limit)]);
    let gone = events.event().await;
    assert_eq!((gone.event.as_deref(), gone.id), (Some("gone"), None));
    let forgotten = events.block().await.unwrap();
    assert_eq!((forgotten.event, forgotten.id.as_deref()), (None, Some("")));
    // Other gateways may pass on what is published of it meanwhile.
    running.publish("b", JSON, "3").await;
    running.publish("a", JSON, "4").await;
    let snapshot = events.event().await;
    assert_eq!((snapshot.event.as_deref(), snapshot.id), (Some("snapshot"), None));
    // Once it is back, the rest of the stream cannot make up for it.
    running.hub.reconfigure(&["a", "b"].map(|name| endpoint(name, limit)));
    while events.block().await.is_some() {}
    let mut anew = running.stream("endpoint=a&endpoint=b").await;
    assert_eq!(anew.ids(2).await.len(), 2);
}

#[tokio::test]
async fn an_unknown_endpoint_does_not_keep_a_client_from_the_others() {
    let mut running = Setup::default().start().await;
    running.publish("a", JSON, "1").await;
    let mut events = running.stream("endpoint=a&endpoint=elsewhere").await;
    let snapshot = events.event().await;
    assert_eq!((snapshot.event.as_deref(), snapshot.id), (Some("snapshot"), None));
    let gone = events.event().await;
    assert_eq!(gone.event.as_deref(), Some("gone"));
    let data: Value = serde_json::from_str(&gone.data.unwrap()).unwrap();
    assert_eq!(data["gone"], "elsewhere");
}

#[tokio::test]
async fn a_malformed_last_event_id_is_refused() {
    let running = Setup::default().start().await;
    let response = running.get_with("/v1/stream?endpoint=a", &[("last-event-id", "x")]).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn staleness_is_told_to_those_connected_and_to_those_who_come_later() {
    let stale_after = Duration::from_millis(300);
    let mut running = Setup { stale_after, ..Setup::default() }.start().await;
    running.publish("a", JSON, "1").await;
    let mut connected = running.stream("endpoint=a").await;
    connected.ids(1).await;
    let stale = connected.event().await;
    assert_eq!((stale.event.as_deref(), stale.id), (Some("stale"), None));
    let data: Value = serde_json::from_str(&stale.data.unwrap()).unwrap();
    assert_eq!(data["endpoint"], "a");
    assert!(data["age"].as_f64().unwrap() > 0.3, "{data}");
    let answer = running.get("/v1/endpoints/a").await;
    assert_eq!(answer.headers()["pollux-stale"], "true");
    let mut late = running.stream("endpoint=a").await;
    late.ids(1).await;
    assert_eq!(late.event().await.event.as_deref(), Some("stale"));
    running.check("a").await;
    for events in [&mut connected, &mut late] {
        let fresh = events.event().await;
        assert_eq!((fresh.event.as_deref(), fresh.id), (Some("fresh"), None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gets_a_comment_every_15_seconds() {
    let running = Setup::default().start().await;
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    let request = b"GET /v1/stream?endpoint=a HTTP/1.1\r\nhost: x\r\n\r\n";
    let start = Instant::now();
    socket.write_all(request).await.unwrap();
    let mut received = Vec::new();
    let two_comments = async {
        let seen =
            |received: &[u8]| received.windows(4).filter(|bytes| bytes == b"\n:\n\n").count();
        while seen(&received) < 2 {
            assert_ne!(socket.read_buf(&mut received).await.unwrap(), 0);
        }
    };
    timeout(Duration::from_secs(60), two_comments).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(30), "{:?}", start.elapsed());
}
