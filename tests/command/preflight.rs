#[cfg(target_os = "linux")]
use super::common::machine::with_clock_off;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, http, is_missing};
use super::{DEADLINE, Outcome, command, configuration, file, json_backend, outcome, path, pollux};

/// Runs it against a server, with more settings of `redis`.
async fn preflight(server: &RedisServer, more: &str, arguments: &[&str]) -> Outcome {
    let redis = format!("redis: {{ url: \"{}\"{more} }}\n", server.url());
    let file = file(&configuration("http://127.0.0.1:1", &redis));
    let arguments = [&["preflight", "--config", path(&file)], arguments].concat();
    pollux(&arguments).await
}

/// What stands beside `name`.
fn verdict<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let lines = || outcome.stdout.lines().chain(outcome.stderr.lines());
    let verdict = lines().find_map(|line| line.strip_prefix(name));
    verdict.unwrap_or_else(|| panic!("no {name}: {outcome:?}")).trim()
}

#[tokio::test]
async fn a_server_as_it_comes_offers_everything() {
    let server = RedisServer::start().await;
    let outcome = preflight(&server, "", &[]).await;
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(verdict(&outcome, "server").starts_with("Redis "), "{outcome:?}");
    for name in ["eviction", "run id", "numsub", "permission"] {
        assert_eq!(verdict(&outcome, name), "ok");
    }
    assert!(verdict(&outcome, "clock").starts_with("ok: "), "{outcome:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_clock_that_is_not_this_machines_is_warned_of() {
    if is_missing("faketime") {
        return;
    }
    let (server, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let redis = format!("redis: {{ url: \"{}\" }}\n", server.url());
    let configuration = configuration(&backend.url("/"), &redis);
    for (by, expected, metric) in
        [("+1h", " behind", 1.0), ("-1h", " ahead of", 1.0), ("+1s", "", 0.0)]
    {
        let replica = Replica::start_with("castor", &configuration, |command| {
            with_clock_off(command, by);
        })
        .await;
        // The last of all kinds: the others were set before.
        eventually(DEADLINE, "the metric tells", || async {
            let answer = http().get(format!("http://{}/metrics", replica.admin)).send().await;
            let text = answer.ok()?.text().await.ok()?;
            text.contains("pollux_redis_shortcoming{kind=\"permission\"}").then_some(())
        })
        .await;
        let lacks = replica.metric("pollux_redis_shortcoming", "kind=\"clock\"").await;
        assert_eq!(lacks, metric, "{by}: {}", replica.log());
        let said = format!("{expected} this machine's: terms");
        assert_eq!(replica.log().contains(&said), metric == 1.0, "{by}: {}", replica.log());

        let file = file(&configuration);
        let mut command = command(&["preflight", "--config", path(&file)]);
        with_clock_off(&mut command, by);
        let outcome = outcome(command).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert_eq!(outcome.stdout.contains(&said), metric == 1.0, "{by}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_policy_that_can_evict_the_lease_is_warned_of() {
    for (policy, safe) in [("allkeys-lru", false), ("volatile-lru", false), ("noeviction", true)] {
        let options = ["--maxmemory", "100mb", "--maxmemory-policy", policy];
        let server = RedisServer::with_options(&options).await;
        let outcome = preflight(&server, "", &[]).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert_eq!(verdict(&outcome, "eviction") == "ok", safe, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_policy_without_a_limit_evicts_nothing() {
    let server = RedisServer::with_options(&["--maxmemory-policy", "allkeys-lru"]).await;
    assert_eq!(verdict(&preflight(&server, "", &[]).await, "eviction"), "ok");
}

#[tokio::test]
async fn a_server_that_does_not_count_subscribers_is_warned_of() {
    let server = RedisServer::with_options(&["--rename-command", "PUBSUB", ""]).await;
    let outcome = preflight(&server, "", &[]).await;
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(verdict(&outcome, "numsub").contains("PUBSUB NUMSUB"), "{outcome:?}");
}

#[tokio::test]
async fn a_run_id_that_cannot_be_read_is_warned_of() {
    let user = ["--user", "blind", "on", ">secret", "~*", "&*", "+@all", "-info"];
    let server = RedisServer::with_options(&user).await;
    let outcome = preflight(&server, ", username: blind, password: secret", &[]).await;
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(verdict(&outcome, "run id").contains("allow INFO"), "{outcome:?}");
}

#[tokio::test]
async fn missing_permissions_are_named_and_fail() {
    let user = ["--user", "mute", "on", ">secret", "~*", "&other:*", "+@all", "-xadd"];
    let server = RedisServer::with_options(&user).await;
    let more = ", username: mute, password: secret";
    let outcome = preflight(&server, more, &["--role", "poller"]).await;
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    let verdict = verdict(&outcome, "permission");
    for denied in [
        "SUBSCRIBE {pollux:test}:updates",
        "PUBLISH {pollux:test}:updates",
        "XADD {pollux:test}:timeline",
    ] {
        assert!(verdict.contains(denied), "{verdict}");
    }
    assert!(!verdict.contains("HSET"), "{verdict}");
}

#[tokio::test]
async fn a_server_that_is_not_there_fails() {
    let mut server = RedisServer::start().await;
    server.kill().await;
    let outcome = preflight(&server, "", &[]).await;
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("check that it runs"), "{outcome:?}");
}

#[tokio::test]
async fn a_replica_warns_of_the_same_when_it_starts() {
    let options = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let (server, backend) = (RedisServer::with_options(&options).await, json_backend("[1]").await);
    let redis = format!("redis: {{ url: \"{}\" }}\n", server.url());
    let replica = Replica::start("castor", &configuration(&backend.url("/"), &redis)).await;
    eventually(DEADLINE, "the metric tells", || async {
        let lacks = replica.metric("pollux_redis_shortcoming", "kind=\"eviction\"").await == 1.0;
        lacks.then_some(())
    })
    .await;
    assert_eq!(replica.metric("pollux_redis_shortcoming", "kind=\"numsub\"").await, 0.0);
    assert!(replica.log().contains("set it to noeviction"), "{}", replica.log());
}

/// The users of `config/redis-acl.conf`, as they stand there.
const ACL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/redis-acl.conf");
const POLLER: &str = ", username: pollux-poller, password: change-me";
const GATEWAY: &str = ", username: pollux-gateway, password: change-me-too";

#[tokio::test]
async fn the_least_privileges_are_enough_for_each_role_and_no_more() {
    let server = RedisServer::with_options(&["--include", ACL]).await;
    for (user, role, enough) in [
        (POLLER, "all", true),
        (POLLER, "gateway", true),
        (GATEWAY, "gateway", true),
        (GATEWAY, "poller", false),
    ] {
        let outcome = preflight(&server, user, &["--role", role]).await;
        assert_eq!(outcome.status == Some(0), enough, "{role}: {outcome:?}");
        assert_eq!(verdict(&outcome, "permission") == "ok", enough, "{outcome:?}");
    }
}

#[tokio::test]
async fn data_flow_under_the_least_privileges() {
    let server = RedisServer::with_options(&["--include", ACL]).await;
    let backend = json_backend("[1]").await;
    let as_user = |user: &str| {
        let redis = format!("redis: {{ url: \"{}\"{user} }}\n", server.url());
        configuration(&backend.url("/"), &redis)
    };
    let mut pollers = Vec::new();
    for name in ["castor", "alhena"] {
        let role = |command: &mut std::process::Command| {
            command.args(["--role", "poller"]);
        };
        pollers.push(Replica::start_with(name, &as_user(POLLER), role).await);
    }
    let gateway = Replica::start_with("gateway", &as_user(GATEWAY), |command| {
        command.args(["--role", "gateway"]);
    })
    .await;
    let leading = leader(&pollers, DEADLINE).await;
    drop(pollers.remove(leading));
    leader(&pollers, DEADLINE).await;
    let report =
        eventually(DEADLINE, "the gateway has a snapshot, and knows who is there", || async {
            let report = gateway.admin_json("/v1/cluster").await?;
            let snapshot = report["endpoints"][0]["version"].is_string();
            (snapshot && report["leader"].is_object()).then_some(report)
        })
        .await;
    assert_eq!(report["timeline"][0]["cause"], "crashed", "{report}");
    let mut connection = server.connection().await;
    let denied: Vec<redis::Value> =
        redis::cmd("ACL").arg("LOG").query_async(&mut connection).await.unwrap();
    assert!(denied.is_empty(), "{denied:?}");
}
