//! A replica in this process ends on its token and leaves nothing behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes helpers of integration tests for other code"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
mod backend;
mod common;

use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, Reply, answer};
use common::{eventually, free_port, http};
use pollux::app::{App, Role};
use pollux::clock::Clock;
use pollux::config::{Config, Environment};
use pollux::store::EmbeddedStore;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

fn configuration(backend: &Backend, gateway: u16, admin: u16) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    let yaml = format!(
        "cluster: test\ngateway: {{ listen: '127.0.0.1:{gateway}' }}\n\
         admin: {{ listen: '127.0.0.1:{admin}' }}\ndrain: 10s\nendpoints:\n  \
         - {{ name: a, url: '{}', every: 200ms }}\n  \
         - {{ name: hanging, url: '{}', every: 60s, timeout: 60s }}\n",
        backend.url("/"),
        backend.url("/hanging"),
    );
    std::fs::write(file.path(), yaml).unwrap();
    Config::load(file.path(), &Environment::default()).unwrap()
}

#[tokio::test]
async fn a_replica_frees_its_ports_and_ends_its_tasks() {
    let backend = Backend::listen(|head| match head.starts_with("GET /hanging") {
        true => Reply::BytesThenHang(Vec::new()),
        false => Reply::Bytes(answer("200 OK", &[], b"[1]")),
    })
    .await;
    // A runtime of its own, so that every task there is the replica's.
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = || runtime.metrics().num_alive_tasks();
    let (gateway, admin) = (free_port(), free_port());
    let config = configuration(&backend, gateway, admin);
    let store = Arc::new(EmbeddedStore::new());
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let running = runtime.spawn(async move {
        App::with_store(config, Role::All, store, Clock::Process).await?.run(token).await
    });
    // An open stream with data, a read whose connection stays open, and a poll without an answer.
    let client = http();
    let url = format!("http://127.0.0.1:{gateway}/v1/stream?endpoint=a");
    let mut stream = eventually(DEADLINE, "the gateway answers", || async {
        client.get(&url).send().await.ok()
    })
    .await;
    timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().expect("data");
    let url = format!("http://127.0.0.1:{admin}/livez");
    client.get(url).send().await.unwrap().bytes().await.unwrap();
    eventually(DEADLINE, "the poll hangs", || async {
        backend.requests().iter().any(|head| head.starts_with("GET /hanging")).then_some(())
    })
    .await;
    assert!(tasks() > 0);

    shutdown.cancel();
    timeout(DEADLINE, running).await.expect("it ends").unwrap().expect("without a failure");

    for port in [gateway, admin] {
        TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free at once");
    }
    // The connections of its HTTP client notice a moment later that nobody uses them any more.
    eventually(DEADLINE, "no task is left", || async { (tasks() == 0).then_some(()) }).await;
    runtime.shutdown_background();
}
