use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::setup::{DEADLINE, Setup};

const JSON: &str = "application/json";

#[tokio::test]
async fn a_stream_too_many_is_refused_until_one_ends() {
    let running = Setup { max_streams: 2, ..Setup::default() }.start().await;
    let first = running.stream("endpoint=a").await;
    let _second = running.stream("endpoint=a").await;
    let refused = running.get("/v1/stream?endpoint=a").await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    drop(first);
    running.until(|hub| hub.counts().clients == 1).await;
    running.stream("endpoint=a").await;
}

#[tokio::test]
async fn a_client_that_never_reads_gets_no_more_than_its_socket_takes_and_delays_nobody() {
    const SIZE: usize = 1 << 20;
    const DEAF: u64 = 4;
    const PUBLICATIONS: u64 = 100;
    /// More than the socket buffers of both sides hold.
    const MOST_TAKEN: u64 = 30;
    let mut running = Setup::default().start().await;
    let mut deaf = Vec::new();
    for _ in 0..DEAF {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let request = b"GET /v1/stream?endpoint=a HTTP/1.1\r\nhost: x\r\n\r\n";
        socket.write_all(request).await.unwrap();
        deaf.push(socket);
    }
    let mut events = running.stream("endpoint=a").await;
    running.until(|hub| hub.counts().clients == DEAF + 1).await;
    for number in 0..PUBLICATIONS {
        let body = format!("\"{number}{}\"", "x".repeat(SIZE));
        let version = running.publish("a", JSON, &body).await;
        assert_eq!(events.ids(1).await, [version.to_string()]);
    }
    let counts = running.hub.counts();
    let taken = counts.deliveries - PUBLICATIONS;
    assert!(taken < DEAF * MOST_TAKEN, "{taken} snapshots taken");
    assert_eq!(counts.clients, DEAF + 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_request_is_cut_off() {
    let running = Setup::default().start().await;
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(b"GET /v1/endpoints HTTP/1.1\r\nhost:").await.unwrap();
    let start = Instant::now();
    let mut received = Vec::new();
    let end = socket.read_to_end(&mut received);
    timeout(DEADLINE * 10, end).await.expect("it stays").unwrap();
    assert!(start.elapsed() <= Duration::from_secs(31), "{:?}", start.elapsed());
}
