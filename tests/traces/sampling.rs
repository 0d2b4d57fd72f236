use super::collector::{Collector, Manner};
use super::common::eventually;
use super::common::replica::Replica;
use super::{DEADLINE, changing_backend, configuration, traced, traceparent};

/// The heads of so many requests of a replica with this configuration.
async fn requests(more: &str, count: usize) -> Vec<String> {
    let backend = changing_backend().await;
    let _replica = Replica::start("castor", &configuration(&backend.url("/"), more)).await;
    eventually(DEADLINE, "the backend is polled", || async {
        let requests = backend.requests();
        (requests.len() >= count).then_some(requests)
    })
    .await
}

#[tokio::test]
async fn without_traces_the_backend_is_told_of_none() {
    let heads = requests("", 5).await;
    assert!(heads.iter().all(|head| !head.contains("trace")), "{heads:?}");
}

#[tokio::test]
async fn a_ratio_of_zero_traces_nothing() {
    let collector = Collector::start(Manner::Takes).await;
    let traces = format!("traces: {{ endpoint: \"{}\", ratio: 0 }}\n", collector.url());
    let heads = requests(&traces, 10).await;
    assert!(heads.iter().all(|head| !head.contains("trace")), "{heads:?}");
    assert!(collector.requests().is_empty());
}

#[tokio::test]
async fn a_ratio_of_one_traces_every_poll_as_its_own_trace() {
    let collector = Collector::start(Manner::Takes).await;
    let heads = requests(&traced(&collector.url()), 10).await;
    let mut traces: Vec<_> = heads.iter().map(|head| traceparent(head).unwrap().0).collect();
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), heads.len());
}

#[tokio::test]
async fn a_ratio_between_traces_some_polls_and_not_others() {
    let collector = Collector::start(Manner::Takes).await;
    let traces = format!("traces: {{ endpoint: \"{}\", ratio: 0.5 }}\n", collector.url());
    // All alike once in half a million runs.
    let heads = requests(&traces, 20).await;
    let traced = heads.iter().filter(|head| traceparent(head).is_some()).count();
    assert!(traced > 0 && traced < heads.len(), "{traced} of {}", heads.len());
}

#[tokio::test]
async fn a_traceparent_of_the_configuration_wins() {
    let own = "00-11111111111111111111111111111111-2222222222222222-00";
    let collector = Collector::start(Manner::Takes).await;
    let more =
        format!("{}defaults: {{ headers: {{ Traceparent: {own} }} }}\n", traced(&collector.url()));
    let heads = requests(&more, 3).await;
    for head in heads {
        let told: Vec<&str> = head.lines().filter(|line| line.starts_with("traceparent")).collect();
        assert_eq!(told, [format!("traceparent: {own}")]);
    }
}
