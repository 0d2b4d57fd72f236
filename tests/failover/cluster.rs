use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;

use crate::backend::Backend;
use crate::common::client::SseClient;
use crate::common::eventually;
use crate::common::proxy::Proxy;
use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::{DEADLINE, ask, key, try_to_ask};

/// The endpoints that every replica polls.
pub(crate) const ENDPOINTS: [&str; 2] = ["prices", "news"];
pub(crate) const REPLICAS: [&str; 3] = ["castor", "pollux", "helena"];

/// The settings that tests differ in.
#[derive(Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) duration: Duration,
    pub(crate) renew_deadline: Duration,
    pub(crate) retry_period: Duration,
    pub(crate) crash_probe: Duration,
    /// How long an answer of Redis is waited for.
    pub(crate) timeout: Duration,
    pub(crate) every: Duration,
}

impl Settings {
    /// What holds where a configuration says nothing, and a poll every 20 ms.
    pub(crate) const DEFAULT: Self = Self {
        duration: Duration::from_secs(6),
        renew_deadline: Duration::from_secs(4),
        retry_period: Duration::from_secs(1),
        crash_probe: Duration::from_millis(100),
        timeout: Duration::from_millis(500),
        every: Duration::from_millis(20),
    };
    /// A lease that ends soon.
    pub(crate) const BRIEF: Self = Self {
        duration: Duration::from_millis(2000),
        renew_deadline: Duration::from_millis(1500),
        retry_period: Duration::from_millis(400),
        timeout: Duration::from_millis(300),
        every: Duration::from_millis(100),
        ..Self::DEFAULT
    };

    fn yaml(&self, redis: &str, backend: &Backend, replica: &str) -> String {
        let ms = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut yaml = format!(
            "cluster: test\nredis: {{ url: \"{redis}\", timeout: {} }}\n\
             lease: {{ duration: {}, renew_deadline: {}, retry_period: {}, crash_probe: {} }}\n\
             history: 100000\ndrain: 5s\ndefaults: {{ every: {}, timeout: 2s }}\nendpoints:\n",
            ms(self.timeout),
            ms(self.duration),
            ms(self.renew_deadline),
            ms(self.retry_period),
            ms(self.crash_probe),
            ms(self.every),
        );
        for name in ENDPOINTS {
            let url = backend.url(name, replica);
            yaml.push_str(&format!("  - {{ name: {name}, url: \"{url}\" }}\n"));
        }
        yaml
    }
}

/// Replicas on one Redis, each by a path of its own, and the backend that they poll.
pub(crate) struct Cluster {
    pub(crate) redis: RedisServer,
    pub(crate) backend: Backend,
    pub(crate) members: Vec<Member>,
    settings: Settings,
}

/// A replica and its path to Redis.
pub(crate) struct Member {
    pub(crate) replica: Replica,
    pub(crate) path: Proxy,
}

/// Who leads, by the record in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) leader: String,
    pub(crate) term: u64,
}

impl Cluster {
    /// Three replicas, one of which leads and has published.
    pub(crate) async fn start(settings: Settings) -> Self {
        Self::on(RedisServer::start().await, settings, &REPLICAS).await
    }

    /// The same on a server with options, with these replicas.
    pub(crate) async fn on(redis: RedisServer, settings: Settings, names: &[&str]) -> Self {
        let mut cluster = Self::without_replicas(redis, settings).await;
        let starting = names.iter().map(|name| cluster.member(name));
        let members = join_all(starting).await;
        cluster.members = members;
        cluster.until_published("first").await;
        cluster
    }

    pub(crate) async fn without_replicas(redis: RedisServer, settings: Settings) -> Self {
        let backend = Backend::start().await;
        backend.say("first");
        Self { redis, backend, members: Vec::new(), settings }
    }

    pub(crate) async fn member(&self, name: &str) -> Member {
        self.member_with(name, |_| {}).await
    }

    /// Starts a replica, with more arguments or variables.
    pub(crate) async fn member_with(
        &self,
        name: &str,
        add: impl FnOnce(&mut std::process::Command),
    ) -> Member {
        let path = Proxy::to(self.redis.port).await;
        let yaml = self.settings.yaml(&path.url(), &self.backend, name);
        Member { replica: Replica::start_with(name, &yaml, add).await, path }
    }

    pub(crate) fn index(&self, name: &str) -> usize {
        let mut members = self.members.iter();
        members.position(|member| member.replica.name == name).expect("a member of that name")
    }

    /// A client for each gateway.
    pub(crate) fn clients(&self) -> Vec<SseClient> {
        let gateways: Vec<String> =
            self.members.iter().map(|member| member.replica.gateway.clone()).collect();
        (0..gateways.len())
            .map(|first| SseClient::follow(gateways.clone(), first, &ENDPOINTS))
            .collect()
    }

    /// A client for each gateway, which keeps to it.
    pub(crate) fn faithful_clients(&self) -> Vec<SseClient> {
        let gateways = self.members.iter().map(|member| vec![member.replica.gateway.clone()]);
        gateways.map(|gateway| SseClient::follow(gateway, 0, &ENDPOINTS)).collect()
    }

    pub(crate) async fn record(&self) -> HashMap<String, String> {
        record(&self.redis).await
    }

    pub(crate) async fn standing(&self) -> Standing {
        standing(&self.redis).await
    }

    /// Waits until all endpoints say `text` in the store, and a leader polls and can be seen to live.
    pub(crate) async fn until_published(&self, text: &str) {
        until_published(&self.redis, text).await;
    }

    /// Waits until the leader's liveness channel is in the record, so that a crash can be seen.
    pub(crate) async fn until_alive(&self) {
        eventually(DEADLINE, "the leader is seen alive", || async {
            let alive = self.record().await.remove("alive").unwrap_or_default();
            (!alive.is_empty()).then_some(())
        })
        .await;
    }

    /// Leads the paths of these replicas to another server, and resets their connections.
    pub(crate) fn switch<'a>(
        &'a self,
        replicas: impl IntoIterator<Item = &'a Member>,
        to: &RedisServer,
    ) {
        for member in replicas {
            member.path.lead_to(to.port);
            member.path.cut();
        }
    }

    /// What all replicas have logged, for a failing test to show.
    pub(crate) fn logs(&self) -> String {
        let log = |member: &Member| format!("{}:\n{}", member.replica.name, member.replica.log());
        self.members.iter().map(log).collect()
    }

    /// The sum of a metric over all replicas.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let mut sum = 0.0;
        for member in &self.members {
            sum += member.replica.metric(name, labels).await;
        }
        sum
    }

    /// The replicas that say that they lead.
    pub(crate) async fn leaders(&self) -> Vec<String> {
        let mut leaders = Vec::new();
        for Member { replica, .. } in &self.members {
            if replica.metric("pollux_is_leader", "").await == 1.0 {
                leaders.push(replica.name.clone());
            }
        }
        leaders
    }

    /// Waits until nobody but one replica polls, and tells which.
    pub(crate) async fn until_one_leads(&self) -> String {
        eventually(DEADLINE, "one replica leads", || async {
            let mut leaders = self.leaders().await;
            let leader = leaders.pop()?;
            leaders.is_empty().then_some(leader)
        })
        .await
    }
}

pub(crate) async fn record(redis: &RedisServer) -> HashMap<String, String> {
    ask(redis, &["HGETALL", &key("leader")]).await
}

pub(crate) async fn standing(redis: &RedisServer) -> Standing {
    let mut record = record(redis).await;
    let leader = record.remove("replica").unwrap_or_default();
    let term = record.get("term").and_then(|term| term.parse().ok()).unwrap_or_default();
    Standing { leader, term }
}

/// Waits until all endpoints say `text` in this store.
pub(crate) async fn until_published(redis: &RedisServer, text: &str) {
    for endpoint in ENDPOINTS {
        let what = format!("{endpoint} says {text} in the store");
        eventually(DEADLINE, &what, || async {
            let snapshot = ["GET", &key(&format!("snapshot:{endpoint}"))];
            let snapshot: String = try_to_ask(redis, &snapshot).await.ok()?;
            snapshot.contains(&format!("\"{text}\"")).then_some(())
        })
        .await;
    }
}

/// Waits until every client was last told `text` of all endpoints.
pub(crate) async fn until_all_hold(clients: &[SseClient], text: &str) {
    for (number, client) in clients.iter().enumerate() {
        let what = format!("client {number} holds {text}");
        eventually(DEADLINE, &what, || async {
            let bodies = client.seen().bodies;
            let holds = |name: &&str| bodies.get(*name).is_some_and(|body| body["text"] == text);
            ENDPOINTS.iter().all(holds).then_some(())
        })
        .await;
    }
}

/// Waits until every client holds publications of `term`, or a later one, of all endpoints.
pub(crate) async fn until_all_reach(clients: &[SseClient], term: u64) {
    for (number, client) in clients.iter().enumerate() {
        eventually(DEADLINE, &format!("client {number} reaches term {term}"), || async {
            let versions = client.seen().versions;
            let reached = versions.iter().filter(|version| version.term >= term).count();
            (reached >= ENDPOINTS.len()).then_some(())
        })
        .await;
    }
}

/// No client was ever sent anything that is not newer than all before.
pub(crate) fn assert_nobody_went_back(clients: &[SseClient]) {
    for (number, client) in clients.iter().enumerate() {
        let versions = client.seen().versions;
        assert!(versions.is_sorted_by(|one, next| one < next), "client {number}: {versions:?}");
    }
}
