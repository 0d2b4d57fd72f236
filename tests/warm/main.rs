//! What a successor goes on with: due times, validators, failure counts, open breakers.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

#[path = "../common/mod.rs"]
mod common;

mod backend;
mod breakers;
mod scale;

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use common::eventually;
use common::redis_server::RedisServer;
use common::replica::Replica;

/// Ends the leader by a signal and waits for the successor's claim; tells when that was.
async fn take_over(redis: &RedisServer, leader: &Replica, ending: Signal) -> Instant {
    let (term, _) = record(redis).await;
    leader.signal(ending);
    let signalled = Instant::now();
    let claimed = eventually(Duration::from_secs(10), "another claims, or nobody does", || async {
        let (now, since) = record(redis).await;
        let waited = signalled.elapsed() > Duration::from_secs(9);
        (now > term || waited).then_some((now > term).then_some(since))
    })
    .await;
    let since = claimed.unwrap_or_else(|| panic!("nobody took over from {}", leader.log()));
    instant_of(redis, since).await
}

/// The term, and when it was claimed, in ms by Redis's clock.
async fn record(redis: &RedisServer) -> (u64, u64) {
    let mut connection = redis.connection().await;
    redis::cmd("HMGET")
        .arg("{pollux:test}:leader")
        .arg(&["term", "since"])
        .query_async(&mut connection)
        .await
        .expect("the record can be read")
}

/// When Redis's clock showed this time, in ms; too early by a millisecond at most.
async fn instant_of(redis: &RedisServer, ms: u64) -> Instant {
    let mut connection = redis.connection().await;
    let mut readings = Vec::new();
    for _ in 0..10 {
        let sent = Instant::now();
        let (seconds, micros): (u64, u64) =
            redis::cmd("TIME").query_async(&mut connection).await.expect("Redis has a clock");
        readings.push((sent.elapsed(), sent, Duration::new(seconds, micros as u32 * 1000)));
    }
    let (_, sent, time) = readings.into_iter().min().expect("ten readings");
    sent - (time - Duration::from_millis(ms))
}
