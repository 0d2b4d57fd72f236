//! A leader that is cut off from what it polls. Rounds take ten seconds, and so do these tests.

use std::time::Duration;

use serde_json::Value;

use super::backend::{Backend, Reply, answer};
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};

/// How long a round takes, with room for a loaded machine.
const ROUND: Duration = Duration::from_secs(15);
/// What was tried just before the cut is told a round later, the next try at the end of another, and
/// then that of two more; with room for a loaded machine.
const ABDICATION: Duration = Duration::from_secs(50);

/// A replica which polls a backend of its own, that only it is cut off from when that ends.
struct Poller {
    replica: Replica,
    backend: Option<Backend>,
}

impl Poller {
    async fn start(name: &str, redis: &RedisServer) -> Self {
        let json = [("content-type", "application/json")];
        let backend = Backend::start(Reply::Bytes(answer("200 OK", &json, b"[1]"))).await;
        let (redis, url) = (redis.url(), backend.url("/"));
        let yaml = format!(
            "cluster: test\nredis: {{ url: \"{redis}\" }}\n\
             endpoints:\n  - {{ name: a, url: \"{url}\", every: 200ms }}\n"
        );
        Self { replica: Replica::start(name, &yaml).await, backend: Some(backend) }
    }

    /// Closes the connections to its backend, and lets it make no more.
    fn cut_off(&mut self) {
        self.backend = None;
    }

    fn polls(&self) -> usize {
        self.backend.as_ref().map_or(0, |backend| backend.requests().len())
    }
}

/// Two pollers, both of which reach their backend, the leader first.
async fn pair(redis: &RedisServer) -> [Poller; 2] {
    let mut pair = [Poller::start("castor", redis).await, Poller::start("alhena", redis).await];
    all_reach(&pair[0].replica, 1).await;
    let leading = pair[0].replica.metric("pollux_is_leader", "").await == 1.0;
    if !leading {
        pair.reverse();
    }
    pair
}

async fn cluster(replica: &Replica) -> Value {
    eventually(ROUND, "the admin server answers", || replica.admin_json("/v1/cluster")).await
}

/// Waits until the presences say that each replica reaches so many hosts.
async fn all_reach(replica: &Replica, reachable: u64) {
    let what = format!("every replica reaches {reachable} of 1 hosts");
    eventually(ROUND * 2, &what, || async {
        let report = cluster(replica).await;
        let present = report["replicas"].as_array()?;
        let as_said = present.iter().all(|presence| {
            presence["hosts"]["reachable"] == reachable && presence["hosts"]["checked"] == 1
        });
        (as_said && present.len() == 2).then_some(())
    })
    .await;
}

/// Waits until every replica has ended so many more rounds.
async fn rounds(replica: &Replica, rounds: u32) {
    for _ in 0..rounds {
        let before = cluster(replica).await;
        let seen = |report: &Value, at: usize| report["replicas"][at]["seen_at"].as_u64();
        eventually(ROUND, "both replicas end a round", || async {
            let now = cluster(replica).await;
            (0..2).all(|at| seen(&now, at) > seen(&before, at)).then_some(())
        })
        .await;
    }
}

async fn leaderships(replica: &Replica) -> usize {
    let report = cluster(replica).await;
    let timeline = report["timeline"].as_array().expect("a timeline");
    timeline.iter().filter(|entry| entry["event"] == "claimed").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_from_the_backend_hands_over_to_a_standby_that_is_not() {
    let redis = RedisServer::start().await;
    let [mut cut_off, other] = pair(&redis).await;
    assert_eq!(other.polls(), 0, "a standby connects, and asks for nothing");
    cut_off.cut_off();
    leader(std::slice::from_ref(&other.replica), ABDICATION).await;
    let why = format!("abdicating: {} reaches 1 of 1 hosts, this replica 0", other.replica.name);
    assert!(cut_off.replica.logged(&why).is_some(), "{}", cut_off.replica.log());
    let polls = other.polls();
    eventually(ROUND, "polls go on", || async { (other.polls() > polls + 3).then_some(()) }).await;
    let released = cut_off.replica.metric("pollux_leadership_lost_total", "released").await;
    assert_eq!(released, 1.0);
    rounds(&other.replica, 2).await;
    assert_eq!(leaderships(&other.replica).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reaches_the_backend_the_leader_stays() {
    let redis = RedisServer::start().await;
    let mut pair = pair(&redis).await;
    pair.iter_mut().for_each(Poller::cut_off);
    let [leading, other] = pair;
    all_reach(&leading.replica, 0).await;
    rounds(&leading.replica, 3).await;
    assert_eq!(leading.replica.metric("pollux_is_leader", "").await, 1.0);
    assert_eq!(leaderships(&other.replica).await, 1);
}
