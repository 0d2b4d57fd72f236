use std::time::Duration;

use redis::AsyncCommands as _;
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::Instant;

use super::backend::Backend;
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::take_over;

const EVERY: Duration = Duration::from_millis(200);
/// What an open breaker comes to: ten intervals.
const SPACING: Duration = Duration::from_secs(2);
/// How far a request may be off its slot on a busy machine.
const JITTER: Duration = Duration::from_millis(150);
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_stays_open_under_the_successor_and_closes_at_once_when_the_backend_is_back()
 {
    let (redis, backend) = (RedisServer::start().await, Backend::start().await);
    backend.set_broken("broken", true);
    let configuration = format!(
        "cluster: test\nredis: {{ url: \"{}\" }}\ndefaults: {{ every: {}ms }}\nendpoints:\n  \
         - {{ name: broken, url: \"{}\" }}\n  - {{ name: sound, url: \"{}\" }}\n",
        redis.url(),
        EVERY.as_millis(),
        backend.url("broken"),
        backend.url("sound"),
    );
    let mut replicas = vec![
        Replica::start("castor", &configuration).await,
        Replica::start("pollux", &configuration).await,
    ];
    let first = leader(&replicas, DEADLINE).await;
    eventually(DEADLINE, "the polls are as far apart as they get", || async {
        let gaps = gaps(&backend.requests_of("broken"));
        gaps.last().is_some_and(|gap| *gap + JITTER > SPACING).then_some(())
    })
    .await;
    assert_eq!(breaker_open(&replicas[first], "broken").await, 1.0);
    assert_eq!(breaker_open(&replicas[first], "sound").await, 0.0);
    let told = replicas[first].log().matches("polling less often").count();
    assert_eq!(told, 1, "{}", replicas[first].log());
    let failures = told_failures(&redis, &backend).await;

    let claimed = take_over(&redis, &replicas[first], Signal::TERM).await;
    replicas.remove(first);
    let successor = &replicas[0];
    eventually(DEADLINE, "the successor polls twice more in vain", || async {
        (backend.requests_of("broken").len() >= failures + 2).then_some(())
    })
    .await;
    let polls = backend.requests_of("broken");
    let since = gaps(&polls[failures - 1..]);
    assert!(since.iter().all(|gap| *gap + JITTER > SPACING), "{since:?}");
    assert!(polls[failures] > claimed);
    assert_eq!(breaker_open(successor, "broken").await, 1.0);
    assert_eq!(told_failures(&redis, &backend).await, backend.requests_of("broken").len());
    for told in ["polling less often", "poll failed"] {
        assert!(!successor.log().contains(told), "told anew: {}", successor.log());
    }

    backend.set_broken("broken", false);
    let back = Instant::now();
    eventually(SPACING + EVERY + JITTER * 2, "it is polled at every interval again", || async {
        let polls: Vec<Instant> = backend.requests_of("broken");
        let polls: Vec<Instant> = polls.into_iter().filter(|at| *at > back).collect();
        let close = gaps(&polls).iter().any(|gap| *gap < EVERY + JITTER);
        close.then_some(())
    })
    .await;
    assert_eq!(breaker_open(successor, "broken").await, 0.0);
    assert!(successor.log().contains("polled again"));
    eventually(DEADLINE, "the next leader will know", || async {
        state(&redis, "broken").await.get("failures").is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_asks_for_rest_has_it_from_the_leader_and_from_its_successor() {
    const REST: Duration = Duration::from_secs(5);
    let (redis, backend) = (RedisServer::start().await, Backend::start().await);
    let configuration = format!(
        "cluster: test\nredis: {{ url: \"{}\" }}\nendpoints:\n  \
         - {{ name: busy, url: \"{}\", every: {}ms }}\n",
        redis.url(),
        backend.url("busy"),
        EVERY.as_millis(),
    );
    let mut replicas = vec![
        Replica::start("castor", &configuration).await,
        Replica::start("pollux", &configuration).await,
    ];
    let first = leader(&replicas, DEADLINE).await;
    backend.set_busy("busy", Some(REST.as_secs()));
    let rest_until = eventually(DEADLINE, "the next leader will know of the rest", || async {
        state(&redis, "busy").await["rest_until"].as_u64()
    })
    .await;
    backend.set_busy("busy", None);
    let requests = backend.requests();
    let asked = requests.iter().position(|request| request.status == 503).expect("it was busy");
    assert_eq!(asked + 1, requests.len(), "nobody asked again");
    let told = eventually(DEADLINE, "the rest is told", || async {
        let endpoint = replicas[first].admin_json("/v1/cluster").await?["endpoints"][0].take();
        endpoint["retry_at"].is_u64().then_some(endpoint)
    })
    .await;
    assert!(told["retry_at"].as_u64() >= Some(rest_until), "{told}");
    assert_eq!((&told["next_due"], &told["failures"]), (&told["retry_at"], &1.into()));
    assert_eq!(breaker_open(&replicas[first], "busy").await, 1.0);
    assert!(replicas[first].log().contains("it asks for 5s of rest"), "{}", replicas[first].log());

    let claimed = take_over(&redis, &replicas[first], Signal::TERM).await;
    replicas.remove(first);
    let polls = eventually(DEADLINE, "the successor polls twice", || async {
        let polls = backend.requests_of("busy").split_off(asked);
        (polls.len() > 2).then_some(polls)
    })
    .await;
    assert!(claimed + Duration::from_secs(1) < polls[1], "it could have polled before");
    let gaps = gaps(&polls);
    assert!(gaps[0] + JITTER > REST && gaps[1] < EVERY + JITTER * 2, "{gaps:?}");
    assert_eq!(breaker_open(&replicas[0], "busy").await, 0.0);
}

/// Waits until the failures are in the store, and tells how many they are.
async fn told_failures(redis: &RedisServer, backend: &Backend) -> usize {
    eventually(DEADLINE, "the store tells of every failure", || async {
        let asked = backend.requests_of("broken").len();
        (state(redis, "broken").await["failures"] == asked).then_some(asked)
    })
    .await
}

/// What the store holds of an endpoint for the next leader.
async fn state(redis: &RedisServer, endpoint: &str) -> Value {
    let mut connection = redis.connection().await;
    let state: Option<String> =
        connection.hget("{pollux:test}:state", endpoint).await.expect("Redis answers");
    serde_json::from_str(&state.unwrap_or_default()).unwrap_or_default()
}

async fn breaker_open(replica: &Replica, endpoint: &str) -> f64 {
    replica.metric("pollux_breaker_open", &format!("endpoint=\"{endpoint}\"")).await
}

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}
