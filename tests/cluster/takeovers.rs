use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::common::client::SseClient;
use super::common::history::{assert_one_writer_at_a_time, history, terms};
use super::common::nginx::Nginx;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, http, is_missing};
use super::{ENDPOINTS, EVERY_MS, configuration, gateways, start_replicas};

const CLIENTS: usize = 50;
const LEASE: Duration = Duration::from_secs(2);
/// How long the whole run takes at least.
const RUN: Duration = Duration::from_secs(30);

/// Replaces the files again and again: each body is used once. Their length differs from one to the
/// next, since nginx makes its ETags of length and time in whole seconds.
fn keep_changing(nginx: Arc<Nginx>) -> JoinHandle<()> {
    tokio::spawn(async move {
        for count in 1_u64.. {
            let name = ENDPOINTS[count as usize % ENDPOINTS.len()];
            let padding = "-".repeat(count as usize % 100);
            nginx.write(name, &json!({ "count": count, "padding": padding }).to_string());
            // The pace of the changes: some polls find one, most find none.
            sleep(Duration::from_millis(150)).await;
        }
    })
}

/// Waits until another replica than `previous` leads, and tells which.
async fn successor(replicas: &[Replica], previous: usize, within: Duration) -> usize {
    eventually(within, "another replica leads", || async {
        let leader = leader(replicas, within).await;
        (leader != previous).then_some(leader)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn data_flow_through_a_stop_a_crash_and_a_freeze_of_the_leader() {
    if is_missing("nginx") {
        return;
    }
    let (mut redis, nginx) = (RedisServer::start().await, Arc::new(Nginx::start().await));
    for name in ENDPOINTS {
        nginx.write(name, &json!({ "name": name, "count": 0 }).to_string());
    }
    let configuration = configuration(&redis, &nginx);
    let mut replicas = start_replicas(&configuration).await;
    let began = Instant::now();
    let first = leader(&replicas, Duration::from_secs(10)).await;
    let clients: Vec<SseClient> = (0..CLIENTS)
        .map(|number| SseClient::follow(gateways(&replicas), number, &ENDPOINTS))
        .collect();
    let writer = keep_changing(Arc::clone(&nginx));
    sleep_until_changes(&clients, 5).await;

    // Stopped: hands over, ends its streams with a hint, and exits in time.
    replicas[first].signal(Signal::TERM);
    let status = replicas[first].process.ended(Duration::from_secs(5)).await;
    assert!(status.success(), "{status}: {}", replicas[first].log());
    let stopped = replicas.remove(first);
    let second = leader(&replicas, Duration::from_secs(1)).await;
    assert!(clients.iter().any(|client| client.seen().hints_at_end > 0));
    drop(stopped);
    sleep_until_changes(&clients, 5).await;

    // Killed: another leads long before the lease has ended.
    let killed = replicas.remove(second);
    killed.signal(Signal::KILL);
    leader(&replicas, LEASE - Duration::from_millis(500)).await;
    drop(killed);
    replicas.push(Replica::start("leda", &configuration).await);
    sleep_until_changes(&clients, 5).await;

    // Frozen for longer than its lease: another leads, and what it still sends is fenced.
    let frozen = leader(&replicas, Duration::from_secs(5)).await;
    replicas[frozen].signal(Signal::STOP);
    let others: Vec<usize> = (0..replicas.len()).filter(|index| *index != frozen).collect();
    eventually(LEASE + Duration::from_secs(1), "another replica leads", || async {
        for &other in &others {
            if replicas[other].metric("pollux_is_leader", "").await == 1.0 {
                return Some(());
            }
        }
        None
    })
    .await;
    replicas[frozen].signal(Signal::CONT);
    eventually(Duration::from_secs(5), "its late publication is fenced", || async {
        let fenced = replicas[frozen].metric("pollux_publications_total", "fenced").await;
        (fenced >= 1.0).then_some(())
    })
    .await;
    successor(&replicas, frozen, Duration::from_secs(5)).await;
    while began.elapsed() < RUN {
        sleep_until_changes(&clients, 1).await;
    }
    writer.abort();

    assert_all_hold_the_last_files(&clients, &nginx).await;
    let ran = began.elapsed();
    let history = history(&redis).await;
    assert_one_writer_at_a_time(&history);
    assert_eq!(terms(&history).len(), 4, "one term for each leader: {:?}", terms(&history));
    assert_polls_follow_the_schedule(&nginx, ran, 3);
    redis.kill().await;
}

/// Waits until every client has seen that many more publications.
async fn sleep_until_changes(clients: &[SseClient], more: usize) {
    let counts: Vec<usize> = clients.iter().map(|client| client.seen().versions.len()).collect();
    eventually(Duration::from_secs(10), "every client sees the data change", || async {
        let mut pairs = clients.iter().zip(&counts);
        pairs.all(|(client, before)| client.seen().versions.len() >= before + more).then_some(())
    })
    .await;
}

async fn assert_all_hold_the_last_files(clients: &[SseClient], nginx: &Nginx) {
    let expected: Vec<(&str, serde_json::Value)> = {
        let mut files = Vec::new();
        for name in ENDPOINTS {
            let body =
                http().get(nginx.url(name)).send().await.expect("nginx answers").bytes().await;
            let body = body.expect("a file");
            files.push((name, serde_json::from_slice(&body).expect("the file is JSON")));
        }
        files
    };
    for (number, client) in clients.iter().enumerate() {
        let what = format!("client {number} holds the last files");
        eventually(Duration::from_secs(5), &what, || async {
            let seen = client.seen();
            expected.iter().all(|(name, body)| seen.bodies.get(*name) == Some(body)).then_some(())
        })
        .await;
        let versions = client.seen().versions;
        assert!(versions.is_sorted_by(|one, next| one < next), "client {number}: {versions:?}");
    }
}

/// In no span of time is an endpoint asked for more often than scheduled, but once for each takeover.
/// Spans without a leader leave no room for more later.
fn assert_polls_follow_the_schedule(nginx: &Nginx, ran: Duration, takeovers: i64) {
    let accesses = nginx.accesses();
    let polls = || accesses.iter().filter(|access| access.user_agent.starts_with("Pollux/"));
    let scheduled = ran.as_millis() as i64 / EVERY_MS as i64 + 1;
    for name in ENDPOINTS {
        let path = format!("/{name}");
        let slots: Vec<i64> = polls()
            .filter(|access| access.path == path)
            .map(|access| (access.at * 1000.0) as i64 / EVERY_MS as i64)
            .collect();
        assert!(slots.len() as i64 * 2 > scheduled, "{name}: only {} polls", slots.len());
        // The most by which the polls since some moment exceed the slots since then.
        let (mut excess, mut most, mut last) = (0, 0, slots[0] - 1);
        for &slot in &slots {
            excess = (excess - (slot - last)).max(-1) + 1;
            most = most.max(excess);
            last = slot;
        }
        // One more, since such a span may begin and end in the middle of a slot.
        assert!(most <= takeovers + 1, "{name}: {most} polls more than scheduled");
    }
    assert!(polls().any(|access| access.status == 304), "unchanged data cost a 304");
}
