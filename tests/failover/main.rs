//! Faults from the outside: replicas as processes, a real Redis, and a backend that knows who asks.
//!
//! Each test says which fault it makes, shows that it came about, and how little it cost.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

#[path = "../common/mod.rs"]
mod common;

mod backend;
mod clocks;
mod cluster;
mod crashes;
mod handovers;
mod kinds;
mod losses;
mod stalls;

use std::time::Duration;

use redis::{FromRedisValue, RedisResult};

use common::redis_server::RedisServer;

/// Long enough for a busy machine; nothing waits for it but a failing test.
const DEADLINE: Duration = Duration::from_secs(20);

/// Asks the server itself.
async fn ask<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    try_to_ask(server, words).await.expect("the server answers")
}

/// Asks a server that may refuse to answer.
async fn try_to_ask<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> RedisResult<T> {
    let mut connection = server.connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await
}

/// A key of the cluster `test`.
fn key(name: &str) -> String {
    format!("{{pollux:test}}:{name}")
}
