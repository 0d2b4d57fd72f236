use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::setup::{DEADLINE, Setup};

const JSON: &str = "application/json";
const GET_A: &[u8] = b"GET /v1/endpoints/a HTTP/1.1\r\nhost: x\r\n\r\n";
const STREAM_A: &[u8] = b"GET /v1/stream?endpoint=a HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn streams_end_with_a_hint_and_new_connections_are_refused() {
    let mut running = Setup::default().start().await;
    running.publish("a", JSON, "1").await;
    let mut events = running.stream("endpoint=a").await;
    events.ids(1).await;
    running.shutdown.cancel();
    let hint = events.block().await.expect("no hint");
    assert!(hint.retry.is_some() && hint.event.is_none(), "{hint:?}");
    assert_eq!(events.block().await, None);
    timeout(DEADLINE, running.serving).await.expect("it goes on").unwrap();
    let refused = TcpStream::connect(running.address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    TcpListener::bind(running.address).await.expect("the port is not free");
    assert_eq!(running.hub.counts().clients, 0);
}

#[tokio::test]
async fn connections_are_refused_while_others_finish() {
    let mut running = Setup::default().start().await;
    let body = format!("\"{}\"", "x".repeat(16 << 20));
    running.publish("a", JSON, &body).await;
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(GET_A).await.unwrap();
    let mut received = vec![0; 1000];
    socket.read_exact(&mut received).await.unwrap();
    running.shutdown.cancel();
    let refused = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(DEADLINE, refused).await.expect("connections are accepted");
    assert!(!running.serving.is_finished());
    let rest = socket.read_to_end(&mut received);
    timeout(DEADLINE, rest).await.unwrap().unwrap();
    assert!(received.len() > body.len() && received.ends_with(b"x\""));
    timeout(DEADLINE, running.serving).await.expect("it goes on").unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off_when_the_drain_time_is_over() {
    let drain = Duration::from_millis(200);
    let mut running = Setup { drain, ..Setup::default() }.start().await;
    let body = format!("\"{}\"", "x".repeat(16 << 20));
    running.publish("a", JSON, &body).await;
    let mut deaf = TcpStream::connect(running.address).await.unwrap();
    deaf.write_all(STREAM_A).await.unwrap();
    running.until(|hub| hub.counts().deliveries == 1).await;
    running.shutdown.cancel();
    timeout(DEADLINE, running.serving).await.expect("it goes on").unwrap();
    assert_eq!(running.hub.counts().clients, 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_once() {
    let mut running = Setup::default().start().await;
    running.publish("a", JSON, "1").await;
    let mut idle = TcpStream::connect(running.address).await.unwrap();
    idle.write_all(GET_A).await.unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    running.shutdown.cancel();
    let mut rest = Vec::new();
    timeout(DEADLINE, idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    timeout(DEADLINE, running.serving).await.expect("it goes on").unwrap();
}
