use std::path::Path;
use std::sync::Arc;

use pollux::app::{App, Role};
use pollux::config::{Config, Environment};
use pollux::store::EmbeddedStore;
use pollux::telemetry::Traces;
use tokio_util::sync::CancellationToken;

use super::collector::{Collector, Manner};
use super::common::eventually;
use super::common::replica::Replica;
use super::{DEADLINE, changing_backend, configuration, traced, traceparent};

fn load(yaml: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file: &Path = &directory.path().join("pollux.yaml");
    let listen = "gateway: { listen: '127.0.0.1:0' }\nadmin: { listen: '127.0.0.1:0' }\n";
    std::fs::write(file, format!("{listen}{yaml}")).unwrap();
    Config::load(file, &Environment::default()).unwrap()
}

#[tokio::test]
async fn another_configuration_counts_from_the_next_poll_on_without_a_restart() {
    let backend = changing_backend().await;
    let (first, second) =
        (Collector::start(Manner::Takes).await, Collector::start(Manner::Takes).await);
    let configured = |more: &str| load(&configuration(&backend.url("/"), more));
    let config = configured("");
    let traces = Traces::start(&config).unwrap();
    let (store, clock) = (Arc::new(EmbeddedStore::new()), pollux::clock::Clock::Process);
    let app = App::with_store(config, Role::Poller, store, clock).await.unwrap();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(app.tracing(traces.clone()).run(shutdown.clone()));
    let polled_on = || async {
        let count = backend.requests().len() + 2;
        eventually(DEADLINE, "the backend is polled", || async {
            (backend.requests().len() >= count).then_some(())
        })
        .await;
    };

    polled_on().await;
    assert!(backend.requests().iter().all(|head| traceparent(head).is_none()));
    for collector in [&first, &second] {
        traces.apply(&configured(&traced(&collector.url()))).unwrap();
        polled_on().await;
        collector.trace("a poll", |spans| spans.len() == 3).await;
    }
    // The one before has all that was meant for it, and nothing of what came later.
    let polls = |collector: &Collector| {
        collector.spans().iter().filter(|span| span.name == "poll a").count()
    };
    let before = polls(&first);
    traces.apply(&configured("")).unwrap();
    polled_on().await;
    assert!(traceparent(backend.requests().last().unwrap()).is_none());
    assert_eq!(polls(&first), before);

    shutdown.cancel();
    running.await.unwrap().unwrap();
    traces.shutdown().await;
    let told = backend.requests().iter().filter(|head| traceparent(head).is_some()).count();
    assert_eq!(polls(&first) + polls(&second), told);
}

#[tokio::test]
async fn a_replica_that_runs_takes_on_traces_and_gives_them_up_when_its_file_says_so() {
    let (backend, collector) = (changing_backend().await, Collector::start(Manner::Takes).await);
    let (off, on) = (
        configuration(&backend.url("/"), ""),
        configuration(&backend.url("/"), &traced(&collector.url())),
    );
    let replica = Replica::start("castor", &off).await;
    replica.reconfigure(&on);
    collector.trace("a poll", |spans| spans.len() == 3).await;
    replica.reconfigure(&off);
    eventually(DEADLINE, "the backend is told of no trace any more", || async {
        traceparent(backend.requests().last()?).is_none().then_some(())
    })
    .await;
    let claims = replica.log().matches("\"change\":\"claimed\"").count();
    assert_eq!(claims, 1, "nobody hands over for that");
}
