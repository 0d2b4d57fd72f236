use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::collector::{Collector, Manner};
use super::common::replica::Replica;
use super::common::{eventually, free_port};
use super::{DEADLINE, changing_backend, traced};

/// How often the endpoint is polled while the collector is in trouble, and for how long.
const EVERY: Duration = Duration::from_millis(20);
const POLLS: usize = 200;

/// The most that the end of a replica takes longer, with room for a loaded machine.
const FAREWELL: Duration = Duration::from_secs(5);

/// What other programs on a loaded machine may hold polls up by, all in all. A poll that waited for a
/// collector which hangs would wait for longer.
const LOADED: Duration = Duration::from_secs(3);

/// Polls for a while with all polls traced; the replica, after the schedule was seen to be kept.
async fn keeps_its_schedule(collector: &str) -> Replica {
    let backend = changing_backend().await;
    let configuration = format!(
        "cluster: test\n{}endpoints:\n  - {{ name: a, url: \"{}\", every: 20ms }}\n",
        traced(collector),
        backend.url("/")
    );
    let replica = Replica::start("castor", &configuration).await;
    let polled = |count: usize| {
        let backend = &backend;
        async move {
            eventually(DEADLINE, "the backend is polled", || async {
                (backend.requests().len() >= count).then_some(())
            })
            .await;
        }
    };
    polled(1).await;
    let started = Instant::now();
    polled(POLLS).await;
    let (took, due) = (started.elapsed(), EVERY * (POLLS as u32 - 1));
    assert!(took < due + LOADED, "{took:?} for what takes {due:?}");
    replica
}

/// The warnings of a replica about traces.
fn warnings(replica: &Replica) -> Vec<String> {
    let log = replica.log();
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warnings = events.filter(|event| event["level"] == "WARN");
    let messages = warnings.map(|event| event["message"].as_str().unwrap().to_owned());
    messages.filter(|message| message.contains("traces")).collect()
}

async fn leaves_in_time(mut replica: Replica) -> Replica {
    let asked = Instant::now();
    replica.signal(Signal::TERM);
    let status = replica.process.ended(DEADLINE).await;
    assert!(status.success(), "{status}: {}", replica.log());
    assert!(asked.elapsed() < FAREWELL, "{:?}", asked.elapsed());
    replica
}

async fn warned(replica: &Replica) {
    eventually(DEADLINE, "a warning", || async { (!warnings(replica).is_empty()).then_some(()) })
        .await;
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_no_poll_and_one_warning() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let replica = keeps_its_schedule(&nobody).await;
    warned(&replica).await;
    let warnings = warnings(&replica);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("cannot send traces"), "{warnings:?}");
    leaves_in_time(replica).await;
}

#[tokio::test]
async fn a_collector_that_refuses_costs_no_poll_and_one_warning() {
    let collector = Collector::start(Manner::Refuses).await;
    let replica = keeps_its_schedule(&collector.url()).await;
    eventually(DEADLINE, "a second batch", || async {
        (collector.requests().len() >= 3).then_some(())
    })
    .await;
    let warnings = warnings(&replica);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    leaves_in_time(replica).await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_no_poll_and_the_end_no_more_than_two_seconds() {
    let collector = Collector::start(Manner::Hangs).await;
    let replica = keeps_its_schedule(&collector.url()).await;
    let replica = leaves_in_time(replica).await;
    let log = replica.log();
    assert!(log.contains("did not take the last traces in time"), "{log}");
}

#[tokio::test]
async fn the_end_waits_for_what_a_collector_takes() {
    let (backend, collector) = (changing_backend().await, Collector::start(Manner::Takes).await);
    let configuration = super::configuration(&backend.url("/"), &traced(&collector.url()));
    let replica = Replica::start("castor", &configuration).await;
    eventually(DEADLINE, "the backend is polled", || async {
        (backend.requests().len() >= 3).then_some(())
    })
    .await;
    leaves_in_time(replica).await;
    let polls = collector.spans().iter().filter(|span| span.name == "poll a").count();
    assert_eq!(polls, backend.requests().len());
}
