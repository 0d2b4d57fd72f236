//! Wall clocks that are wrong: those of replicas do not matter, and that of Redis may go back.
//! libfaketime, which sets them off, is for Linux; elsewhere programs of the system refuse it.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

use crate::cluster::{
    Cluster, ENDPOINTS, Member, Settings, assert_nobody_went_back, standing, until_all_hold,
};
use crate::common::machine::with_clock_off;
use crate::common::redis_server::RedisServer;
use crate::common::{http, is_missing};
use crate::{ask, key};

const HOUR_MS: u64 = 3_600_000;
/// What may lie between two looks at clocks on a busy machine.
const ABOUT_MS: u64 = 20_000;
/// As for any crash: by far less than what is left of the lease.
const BUSY: Duration = Duration::from_millis(1500);

/// By this machine's clock, which is also that of Redis.
fn wall_clock_ms() -> u64 {
    let time = clock_gettime(ClockId::Realtime);
    u64::try_from(time.tv_sec * 1000 + time.tv_nsec / 1_000_000).expect("after 1970")
}

#[test]
fn what_sets_the_wall_clock_off_leaves_other_clocks_alone() {
    if is_missing("faketime") || is_missing("python3") {
        return;
    }
    let mut python = Command::new("python3");
    python.arg("-c").arg(
        "from time import *; print(*(clock_gettime(c) for c in \
         (CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME)))",
    );
    with_clock_off(&mut python, "+1h");
    let output = python.output().expect("python runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let read: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let clocks = [ClockId::Realtime, ClockId::Monotonic, ClockId::Boottime];
    let minutes_off = clocks.iter().zip(read).map(|(clock, read)| {
        let right = clock_gettime(*clock).tv_sec as f64;
        ((read - right) / 60.0).round()
    });
    assert_eq!(minutes_off.collect::<Vec<f64>>(), [60.0, 0.0, 0.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_an_hour_ahead_is_like_any_other() {
    one_of_two_clocks_is_off("+1h").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_an_hour_behind_is_like_any_other() {
    one_of_two_clocks_is_off("-1h").await;
}

/// Leadership goes from the one whose clock is off to one whose clock is right, and back.
async fn one_of_two_clocks_is_off(by: &str) {
    if is_missing("faketime") {
        return;
    }
    let mut cluster =
        Cluster::without_replicas(RedisServer::start().await, Settings::DEFAULT).await;
    for (name, off) in [("castor", true), ("pollux", false), ("helena", true)] {
        let joins = cluster
            .member_with(name, |command| {
                if off {
                    with_clock_off(command, by);
                }
            })
            .await;
        assert_eq!(is_an_hour_off(&joins), off, "{}", joins.replica.log());
        cluster.members.push(joins);
        if cluster.members.len() == 2 {
            let dies = cluster.members.remove(0);
            assert_takes_over(&cluster, &dies).await;
        }
        cluster.until_published("first").await;
        cluster.until_alive().await;
        assert_stamps_are_by_the_clock_of_redis(&cluster).await;
    }
}

/// By the time stamps of its log.
fn is_an_hour_off(member: &Member) -> bool {
    let started = member.replica.logged("pollux starts").expect("it has started");
    let text = started["timestamp"].as_str().expect("a time");
    let stamp = humantime::parse_rfc3339(text).expect("a time");
    let stamp = stamp.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let stamp = u64::try_from(stamp.as_millis()).expect("a time");
    stamp.abs_diff(wall_clock_ms()).abs_diff(HOUR_MS) < ABOUT_MS
}

async fn assert_takes_over(cluster: &Cluster, dies: &Member) {
    let before = cluster.standing().await;
    assert_eq!(before.leader, dies.replica.name);
    let killed = Instant::now();
    dies.replica.signal(Signal::KILL);
    let first = cluster.backend.first_poll_of_another(&before.leader, killed, BUSY).await;
    assert_eq!(first.by, cluster.members[0].replica.name);
    assert!(cluster.standing().await.term > before.term);
}

async fn assert_stamps_are_by_the_clock_of_redis(cluster: &Cluster) {
    let now = wall_clock_ms();
    assert!(cluster.standing().await.term.abs_diff(now) < ABOUT_MS, "the term");
    for endpoint in ENDPOINTS {
        let snapshot = key(&format!("snapshot:{endpoint}"));
        let snapshot: String = ask(&cluster.redis, &["GET", &snapshot]).await;
        let snapshot: serde_json::Value = serde_json::from_str(&snapshot).expect("JSON");
        let fetched_at = snapshot["fetched_at"].as_u64().expect("a time");
        assert!(fetched_at.abs_diff(now) < ABOUT_MS, "{snapshot}");
        let checked_at: u64 = ask(&cluster.redis, &["HGET", &key("checked"), endpoint]).await;
        assert!(checked_at.abs_diff(now) < ABOUT_MS, "{checked_at}");
        for Member { replica, .. } in &cluster.members {
            let url = format!("http://{}/v1/endpoints/{endpoint}", replica.gateway);
            let headers = http().get(url).send().await.expect("it answers").headers().clone();
            let age = headers.get("age").and_then(|age| age.to_str().ok()?.parse::<u64>().ok());
            assert!(age.is_some_and(|age| age * 1000 < ABOUT_MS), "{headers:?}");
            assert_eq!(headers["pollux-stale"], "false");
        }
    }
}

/// Terms are times by the clock of the server that they were claimed on. A record whose term is an
/// hour ahead is what a server leaves whose clock was: libfaketime and Redis do not go together.
#[tokio::test(flavor = "multi_thread")]
async fn terms_grow_on_a_server_whose_clock_is_an_hour_behind() {
    let (ahead, behind) = (RedisServer::start().await, RedisServer::start().await);
    let term = (wall_clock_ms() + HOUR_MS).to_string();
    ask::<u64>(&ahead, &["HSET", &key("leader"), "term", &term]).await;
    let mut cluster = Cluster::on(ahead, Settings::BRIEF, &["castor", "pollux"]).await;
    let clients = cluster.clients();
    until_all_hold(&clients, "first").await;
    let before = cluster.standing().await;
    assert!(before.term > wall_clock_ms() + HOUR_MS / 2, "the term is ahead");

    // The leader dies with the server, and a survivor goes on with one that never heard of them.
    let leader = cluster.members.remove(cluster.index(&before.leader));
    leader.replica.signal(Signal::KILL);
    cluster.switch(&cluster.members, &behind);
    cluster.backend.say("after");

    until_all_hold(&clients, "after").await;
    assert!(standing(&behind).await.term > before.term);
    assert_nobody_went_back(&clients);
}
