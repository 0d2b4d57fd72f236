//! Three replicas as processes, on a real Redis, polling a real nginx, read by real clients.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

#[allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it; tests may stop")]
#[path = "../backend/mod.rs"]
mod backend;
#[path = "../common/mod.rs"]
mod common;

mod abdication;
mod failovers;
mod outages;
mod redis_trouble;
mod takeovers;

use common::nginx::Nginx;
use common::redis_server::RedisServer;
use common::replica::Replica;

/// The endpoints that every test here polls.
const ENDPOINTS: [&str; 3] = ["prices", "news", "weather"];
/// How often each is polled.
const EVERY_MS: u64 = 200;

/// Replicas with a lease of two seconds.
fn configuration(redis: &RedisServer, nginx: &Nginx) -> String {
    configuration_with(&format!("url: \"{}\"", redis.url()), nginx)
}

/// The same with what is said of Redis.
fn configuration_with(redis: &str, nginx: &Nginx) -> String {
    let mut yaml = format!(
        "cluster: test\n\
         redis: {{ {redis} }}\n\
         lease: {{ duration: 2s, renew_deadline: 1500ms, retry_period: 400ms }}\n\
         history: 100000\n\
         drain: 5s\n\
         defaults: {{ every: {EVERY_MS}ms }}\n\
         endpoints:\n"
    );
    for name in ENDPOINTS {
        yaml.push_str(&format!("  - {{ name: {name}, url: \"{}\" }}\n", nginx.url(name)));
    }
    yaml
}

async fn start_replicas(configuration: &str) -> Vec<Replica> {
    let names = ["castor", "pollux", "helena"];
    let mut replicas = Vec::new();
    for name in names {
        replicas.push(Replica::start(name, configuration).await);
    }
    replicas
}

fn gateways(replicas: &[Replica]) -> Vec<String> {
    replicas.iter().map(|replica| replica.gateway.clone()).collect()
}
