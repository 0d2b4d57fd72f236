//! Environment variables in the place of settings.

use std::time::Duration;

use crate::{SMALLEST, environment, load_with};

#[test]
fn variables_override_the_file() {
    let variables = environment(&[
        ("POLLUX__REDIS__URL", "redis://elsewhere"),
        ("POLLUX__ENDPOINTS__0__EVERY", "7s"),
        ("POLLUX__ENDPOINTS__0__HEADERS__AUTHORIZATION", "${env:TOKEN}"),
        ("POLLUX__DRAIN", "1s"),
        ("TOKEN", "t"),
    ]);
    let yaml = format!("{SMALLEST}    headers: {{Authorization: old}}\ndrain: never\n");
    let config = load_with(yaml.as_bytes(), &variables).unwrap();
    assert_eq!(config.redis.unwrap().to_string(), "redis://elsewhere:6379/0");
    assert_eq!(config.endpoints[0].every, Duration::from_secs(7));
    assert_eq!(config.endpoints[0].headers[0].1.expose(), "t");
    assert_eq!(config.drain, Duration::from_secs(1));
}

#[test]
fn variables_alone_say_where_redis_is() {
    let redis = |variables: &[(&str, &str)]| {
        let config = load_with(SMALLEST.as_bytes(), &environment(variables));
        config.unwrap().redis.unwrap().to_string()
    };
    let sentinel = redis(&[
        ("POLLUX__REDIS__SENTINEL__MASTER", "mymaster"),
        ("POLLUX__REDIS__SENTINEL__NODES", "one, [::1]:26380"),
    ]);
    assert_eq!(sentinel, "master mymaster of Sentinel at one:26379, [::1]:26380");
    assert_eq!(
        redis(&[("POLLUX__REDIS__CLUSTER", "one,two:7000")]),
        "Cluster at one:6379, two:7000"
    );
}

#[test]
fn variables_override_parts_of_where_redis_is() {
    let yaml = format!("{SMALLEST}redis: {{sentinel: {{master: old, nodes: [one, two]}}}}\n");
    let variables = environment(&[
        ("POLLUX__REDIS__SENTINEL__MASTER", "new"),
        ("POLLUX__REDIS__SENTINEL__NODES__1", "other:7"),
    ]);
    let config = load_with(yaml.as_bytes(), &variables).unwrap();
    let expected = "master new of Sentinel at one:26379, other:7";
    assert_eq!(config.redis.unwrap().to_string(), expected);
}

#[test]
fn wrong_variables_are_named() {
    let deep = format!("POLLUX{}", "__A".repeat(10_000));
    let too_deep =
        format!("{deep}: {}: expected a path of at most 8 parts", &["a"; 10_000].join("."));
    let table = [
        (
            "POLLUX__DRAIN",
            "0",
            "POLLUX__DRAIN: drain: expected a duration such as 250ms, 2s or 5m, found 0",
        ),
        ("POLLUX__DRIAN", "1s", "POLLUX__DRIAN: drian: unknown setting; did you mean `drain`?"),
        (
            "POLLUX__REDIS__HOST",
            "h",
            "POLLUX__REDIS__HOST: redis.host: unknown setting; known here: url, sentinel, cluster, username, password, tls, timeout\nPOLLUX__REDIS__HOST: redis: expected one of url, sentinel and cluster, found none",
        ),
        (
            "POLLUX__REDIS",
            "redis://u:hunter2@h",
            "POLLUX__REDIS: redis: expected settings (url, sentinel, cluster, username, password, tls, timeout), found text",
        ),
        (
            "POLLUX__ENDPOINTS__1__EVERY",
            "1s",
            "POLLUX__ENDPOINTS__1__EVERY: endpoints.1.every: expected a position in the list, which has 1, counted from 0; found 1",
        ),
        (
            "POLLUX__ENDPOINTS__A__EVERY",
            "1s",
            "POLLUX__ENDPOINTS__A__EVERY: endpoints.a.every: expected a position in the list, which has 1, counted from 0; found a",
        ),
        (
            "POLLUX__CLUSTER__NAME",
            "x",
            "POLLUX__CLUSTER__NAME: cluster.name: expected name in a mapping, but the file has text there",
        ),
        ("POLLUX__", "x", "POLLUX__: expected a setting after POLLUX__, its parts separated by __"),
        (
            "POLLUX__LEASE__DURATION",
            "1s",
            "POLLUX__LEASE__DURATION: lease: expected retry_period < renew_deadline < duration, found retry_period 1s, renew_deadline 4s, duration 1s",
        ),
        (&deep, "x", &too_deep),
    ];
    for (name, value, expected) in table {
        let found = load_with(SMALLEST.as_bytes(), &environment(&[(name, value)])).unwrap_err();
        assert_eq!(found, expected, "{name:.80}");
    }
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_ignored() {
    let variables = environment(&[
        ("POLLUX_SERVICE_HOST", "10.0.0.1"),
        ("POLLUX_SERVICE_PORT", "8080"),
        ("POLLUX_PORT", "tcp://10.0.0.1:8080"),
        ("POLLUX_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ]);
    load_with(SMALLEST.as_bytes(), &variables).unwrap();
}

#[test]
fn an_overridden_alias_leaves_its_anchor_alone() {
    let yaml = "\
cluster: c
endpoints:
  - {name: a, url: 'http://a/', every: 1s, headers: &headers {X: old}}
  - {name: b, url: 'http://b/', every: 1s, headers: *headers}
";
    let variables = environment(&[("POLLUX__ENDPOINTS__1__HEADERS__X", "new")]);
    let config = load_with(yaml.as_bytes(), &variables).unwrap();
    assert_eq!(config.endpoints[0].headers[0].1.expose(), "old");
    assert_eq!(config.endpoints[1].headers[0].1.expose(), "new");
}
