//! What README shows works as it stands there.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

#[path = "common/mod.rs"]
mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::eventually;
use common::process::Process;
use common::redis_server::RedisServer;
use common::replica::Replica;
use pollux::config::{Config, Environment};
use pollux::model::Version;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// Where tests/run puts a Python with the redis package.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");

/// The first code block of a language.
fn example(language: &str) -> String {
    let readme = include_str!("../README.md");
    let start = format!("```{language}\n");
    let block = readme.split_once(&start).expect("README has such an example").1;
    block.split_once("```").expect("the block ends").0.to_owned()
}

#[test]
fn the_configuration_of_three_lines_per_endpoint_is_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pollux.yaml");
    std::fs::write(&file, example("yaml")).expect("a file");
    let config = Config::load(&file, &Environment::default()).expect("the example is accepted");
    assert_eq!(config.endpoints.len(), 1);
}

/// A backend whose every answer differs from the last.
async fn start_backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    tokio::spawn(async move {
        for count in 1.. {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut lines = BufReader::new(&mut socket).lines();
            while lines
                .next_line()
                .await
                .is_ok_and(|line| line.is_some_and(|line| !line.is_empty()))
            {}
            let body = format!("{{\"count\":{count}}}");
            let size = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{body}"
            );
            socket.write_all(answer.as_bytes()).await.ok();
        }
    });
    port
}

#[tokio::test]
async fn the_python_example_reads_the_snapshot_and_follows_the_channel() {
    if !Path::new(PYTHON).exists() {
        let complete = std::env::var_os("POLLUX_TESTS_COMPLETE").is_some();
        assert!(!complete, "no Python with the redis package");
        eprintln!("SKIPPED: no Python with the redis package; tests/run installs it");
        return;
    }
    let (redis, backend) = (RedisServer::start().await, start_backend().await);
    let configuration = example("yaml")
        .replace("redis://localhost:6379", &redis.url())
        .replace("http://localhost:9000/prices", &format!("http://127.0.0.1:{backend}/prices"))
        .replace("every: 2s", "every: 200ms");
    let _replica = Replica::start("castor", &configuration).await;

    let directory = tempfile::tempdir().expect("a directory");
    let (script, output) = (directory.path().join("follow.py"), directory.path().join("output"));
    std::fs::write(&script, example("python")).expect("a file");
    let mut command = Command::new(PYTHON);
    command.arg(&script).env("REDIS_URL", redis.url());
    let mut process = Process::start(&mut command, &output);
    let lines = eventually(Duration::from_secs(20), "the example prints five changes", || {
        let text = std::fs::read_to_string(&output).unwrap_or_default();
        assert!(process.is_running(), "{text}");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        async move { (lines.len() >= 5).then_some(lines) }
    })
    .await;
    let versions: Vec<Version> = lines
        .iter()
        .map(|line| line.split(' ').nth(1).expect("a version").parse().expect("a version"))
        .collect();
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");
    assert!(lines.iter().all(|line| line.starts_with("prices ") && line.contains("count")));
}
