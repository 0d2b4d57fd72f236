//! The program as its users meet it: arguments, exit status, output, signals, probes, metrics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes helpers of integration tests for other code"
)]

#[allow(dead_code, reason = "each test uses a part of it")]
#[path = "../backend/mod.rs"]
mod backend;
#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod endpoints;
mod following;
mod leadership_logs;
mod leaving;
mod logs;
mod metrics;
mod preflight;
mod probes;
mod probing;
mod refusals;
mod roles;
mod status;
mod step_down;
mod terminal;
mod verified;

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use backend::{Backend, Reply, answer};
use tempfile::NamedTempFile;

/// Long enough for a loaded machine; nothing waits for it but a failing test.
const DEADLINE: Duration = Duration::from_secs(20);

/// How a command ended, and what it printed.
#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program to its end.
async fn pollux(arguments: &[&str]) -> Outcome {
    outcome(command(arguments)).await
}

/// The program, with nothing to read.
fn command(arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_pollux"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs a command to its end.
async fn outcome(command: std::process::Command) -> Outcome {
    let output = tokio::process::Command::from(command).kill_on_drop(true).output();
    let output = tokio::time::timeout(DEADLINE, output).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Outcome {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn file(content: &str) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("a path in UTF-8")
}

/// A backend that answers each request alike, with JSON.
async fn json_backend(body: &str) -> Backend {
    let head = [("content-type", "application/json")];
    Backend::start(Reply::Bytes(answer("200 OK", &head, body.as_bytes()))).await
}

/// A configuration of one endpoint, `a`, and whatever else is given.
fn configuration(url: &str, more: &str) -> String {
    format!("cluster: test\n{more}endpoints:\n  - {{ name: a, url: \"{url}\", every: 200ms }}\n")
}
