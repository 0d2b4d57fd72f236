//! Replicas as processes whose configuration is changed while they run, on a real Redis.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]

#[allow(dead_code, clippy::unwrap_used, reason = "each test uses a part of it; tests may stop")]
#[path = "../backend/mod.rs"]
mod backend;
#[path = "../common/mod.rs"]
mod common;

mod differing;
mod endpoints;
mod files;
mod listeners;
mod refusals;
mod secrets;

use std::time::Duration;

use backend::{Backend, Reply};
use common::eventually;
use common::redis_server::RedisServer;
use common::replica::Replica;

/// How long a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(30);

/// A backend that answers each path with its name.
async fn backend() -> Backend {
    Backend::listen(|head| {
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let body = format!("\"{}\"", path.trim_start_matches('/'));
        let length = body.len();
        Reply::Bytes(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .into(),
        )
    })
    .await
}

/// How often a path was asked for.
fn requests(backend: &Backend, path: &str) -> usize {
    let line = format!("GET /{path} ");
    backend.requests().iter().filter(|head| head.starts_with(&line)).count()
}

/// A configuration that polls each of these paths five times a second, with more of settings.
fn configuration_with(
    redis: &RedisServer,
    backend: &Backend,
    paths: &[&str],
    more: &str,
) -> String {
    let mut yaml = format!(
        "cluster: test\n\
         redis: {{ url: \"{}\" }}\n\
         defaults: {{ every: 200ms }}\n\
         {more}\n\
         endpoints:\n",
        redis.url()
    );
    for path in paths {
        yaml.push_str(&format!(
            "  - {{ name: {path}, url: \"{}\" }}\n",
            backend.url(&format!("/{path}"))
        ));
    }
    yaml
}

fn configuration(redis: &RedisServer, backend: &Backend, paths: &[&str]) -> String {
    configuration_with(redis, backend, paths, "")
}

/// The status and the body that a gateway answers for an endpoint; `None` while it does not.
async fn read(gateway: &str, endpoint: &str) -> Option<(u16, String)> {
    let url = format!("http://{gateway}/v1/endpoints/{endpoint}");
    let response = common::http().get(url).send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

/// Waits until a gateway answers for an endpoint with this status.
async fn answers(gateway: &str, endpoint: &str, status: u16) {
    eventually(DEADLINE, &format!("{endpoint} is answered with {status}"), || async {
        (read(gateway, endpoint).await?.0 == status).then_some(())
    })
    .await;
}

async fn term(replica: &Replica) -> u64 {
    replica.admin_json("/v1/cluster").await.expect("an answer")["term"].as_u64().expect("a term")
}
