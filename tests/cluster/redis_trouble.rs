//! A Redis that is absent, refuses, or is none: said, tried again, and never exited for.

use std::time::Duration;

use rustix::process::Signal;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, free_port};

fn configuration(redis: &str) -> String {
    format!(
        "cluster: test\nredis: {{ {redis} }}\n\
         endpoints:\n  - {{ name: a, url: \"http://127.0.0.1:1/\", every: 1s }}\n"
    )
}

/// Waits until the replica has logged and counted a failure of this kind.
async fn says(replica: &mut Replica, kind: &str, words: &str) {
    let what = format!("{} says {kind}: {words}", replica.name);
    eventually(Duration::from_secs(10), &what, || async {
        let label = format!("kind=\"{kind}\"");
        let counted = replica.metric("pollux_redis_failures_total", &label).await > 0.0;
        let logged = replica.log();
        let logged = logged.lines().any(|line| line.contains(words) && line.contains(kind));
        (counted && logged).then_some(())
    })
    .await;
    assert!(replica.process.is_running());
    assert_eq!(replica.admin_status("/livez").await, Some(200));
    assert_eq!(replica.admin_status("/readyz").await, Some(503));
}

#[tokio::test]
async fn an_absent_redis_is_said_and_waited_for() {
    let url = format!("url: \"redis://127.0.0.1:{}\"", free_port());
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "refused", "check that it runs").await;
}

#[tokio::test]
async fn a_replica_started_before_redis_leads_once_it_is_there() {
    let mut redis = RedisServer::start().await;
    redis.kill().await;
    let url = format!("url: \"{}\"", redis.url());
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "refused", "check that it runs").await;
    redis.restart().await;
    leader(&[replica], Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_missing_password_is_said() {
    let redis = RedisServer::with_options(&["--requirepass", "secret"]).await;
    let url = format!("url: \"{}\"", redis.url());
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "auth", "redis.password").await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_never_shown() {
    let redis = RedisServer::with_options(&["--requirepass", "secret"]).await;
    let url = format!("url: \"{}\", password: wrong-and-private", redis.url());
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "auth", "redis.password").await;
    assert!(!replica.log().contains("wrong-and-private"));
}

#[tokio::test]
async fn the_right_password_is_enough() {
    let redis = RedisServer::with_options(&["--requirepass", "secret"]).await;
    let url = format!("url: \"{}\", password: secret", redis.url());
    let replica = Replica::start("castor", &configuration(&url)).await;
    leader(&[replica], Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_server_that_is_not_redis_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let web_server = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    let url = format!("url: \"redis://127.0.0.1:{port}\"");
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "other", "names a Redis").await;
    web_server.abort();
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let url = format!("url: \"redis://127.0.0.1:{port}\"");
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "timeout", "no answer within").await;
}

#[tokio::test]
async fn a_replica_without_redis_does_not_spin_and_leaves_at_once() {
    let url = format!("url: \"redis://127.0.0.1:{}\"", free_port());
    let mut replica = Replica::start("castor", &configuration(&url)).await;
    says(&mut replica, "refused", "check that it runs").await;
    let before = replica.metric("pollux_redis_failures_total", "").await;
    let watched = Instant::now();
    // A rate needs a span of time to be taken over.
    sleep(Duration::from_secs(3)).await;
    let failures = replica.metric("pollux_redis_failures_total", "").await - before;
    let rate = failures / watched.elapsed().as_secs_f64();
    assert!(rate < 15.0, "{rate} tries a second");
    replica.signal(Signal::TERM);
    let status = replica.process.ended(Duration::from_secs(2)).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_replica_waits_for_a_paused_redis_without_losing_the_lease() {
    let redis = RedisServer::start().await;
    let url = format!("url: \"{}\"", redis.url());
    let replica = Replica::start("castor", &configuration(&url)).await;
    leader(std::slice::from_ref(&replica), Duration::from_secs(5)).await;
    redis.signal(Signal::STOP);
    eventually(Duration::from_secs(5), "renewals time out", || async {
        (replica.metric("pollux_redis_failures_total", "timeout").await > 1.0).then_some(())
    })
    .await;
    redis.signal(Signal::CONT);
    eventually(Duration::from_secs(5), "the lease is renewed again", || async {
        replica.logged("lease renewed again").map(drop)
    })
    .await;
    assert_eq!(replica.metric("pollux_is_leader", "").await, 1.0);
    assert_eq!(replica.metric("pollux_leadership_lost_total", "").await, 0.0);
}
