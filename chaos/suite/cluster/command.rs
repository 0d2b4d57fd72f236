//! Programs that do something and end.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::run::{Outcome, Unknown};

/// Runs a program to its end and yields what it said. One that is missing or fails is told of.
pub(super) async fn run(words: &[&str]) -> Outcome<String> {
    run_with(words, "").await
}

/// The same for a program that reads its orders.
pub(super) async fn run_with(words: &[&str], orders: &str) -> Outcome<String> {
    let name = words.join(" ");
    let told = |why: &dyn std::fmt::Display| Unknown(format!("{name}: {why}"));
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| told(&error))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(orders.as_bytes()).await.map_err(|error| told(&error))?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(told(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
