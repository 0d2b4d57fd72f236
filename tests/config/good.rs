//! What good configurations mean.

use std::path::Path;
use std::time::{Duration, Instant};

use pollux::config::{Config, Environment, Expectation};

use crate::{SMALLEST, load};

#[test]
fn the_example_is_a_good_configuration() {
    let config = Config::load(Path::new("config/pollux.yaml"), &Environment::default()).unwrap();
    assert_eq!(config.redis.unwrap().to_string(), "redis://localhost:6379/0");
    assert_eq!(config.endpoints.len(), 2);
}

/// The defaults that the example shows in comments are those that apply.
#[test]
fn the_example_names_the_defaults() {
    let example = std::fs::read_to_string("config/pollux.yaml").unwrap();
    let uncommented: Vec<_> = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| is_default(rest)).unwrap_or(line))
        .collect();
    let all = load(&uncommented.join("\n")).unwrap();
    let default = load(&example).unwrap();
    assert_ne!(uncommented.join("\n"), example.trim_end());
    assert_eq!(all.address, default.address);
    assert_eq!(all.lease, default.lease);
    assert_eq!(all.history, default.history);
    assert_eq!(all.gateway.listen, default.gateway.listen);
    assert_eq!(all.gateway.max_streams, default.gateway.max_streams);
    assert_eq!(all.admin.listen, default.admin.listen);
    assert_eq!(all.drain, default.drain);
}

/// Whether a line of the example, without its `# `, is one of the settings that show a default.
fn is_default(line: &str) -> bool {
    let shown = ["address", "lease", "history", "gateway", "admin", "drain"];
    let nested =
        ["duration", "renew_deadline", "retry_period", "crash_probe", "listen", "max_streams"];
    let key = line.trim_start().split(':').next().unwrap();
    if line.starts_with("  ") { nested.contains(&key) } else { shown.contains(&key) }
}

#[test]
fn three_lines_per_endpoint_are_enough() {
    let config = load(SMALLEST).unwrap();
    let endpoint = &config.endpoints[0];
    assert!(config.redis.is_none());
    assert_eq!(config.history, 0);
    assert_eq!(config.drain, Duration::from_secs(20));
    assert_eq!(config.address, "http://127.0.0.1:9090");
    assert_eq!(config.gateway.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(endpoint.timeout, Duration::from_secs(1));
    assert_eq!(endpoint.connect_timeout, Duration::from_secs(1));
    assert_eq!(endpoint.max_body, 10 * 1024 * 1024);
    assert_eq!(endpoint.stale_after, Duration::from_secs(3));
    assert_eq!(endpoint.expect, Expectation::Json);
    assert!(endpoint.headers.is_empty());
}

#[test]
fn timeouts_and_staleness_follow_the_interval_within_bounds() {
    for (every, timeout, connect_timeout, stale_after) in
        [(500, 500, 500, 3_000), (2_000, 2_000, 2_000, 6_000), (60_000, 10_000, 2_000, 180_000)]
    {
        let yaml = SMALLEST.replace("1s", &format!("{every}ms"));
        let endpoint = &load(&yaml).unwrap().endpoints[0];
        assert_eq!(endpoint.timeout, Duration::from_millis(timeout));
        assert_eq!(endpoint.connect_timeout, Duration::from_millis(connect_timeout));
        assert_eq!(endpoint.stale_after, Duration::from_millis(stale_after));
    }
}

#[test]
fn replicas_on_one_host_get_names_of_their_own() {
    let (one, other) = (load(SMALLEST).unwrap(), load(SMALLEST).unwrap());
    let (_, uuid) = one.replica.rsplit_once('-').unwrap();
    assert!(uuid.len() == 8 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(one.replica, other.replica);
}

#[test]
fn the_address_names_the_host_where_admin_listens_on_all() {
    for listen in ["0.0.0.0:9090", "'[::]:9090'"] {
        let config = load(&format!("{SMALLEST}admin: {{listen: {listen}}}\n")).unwrap();
        let (host, _) = config.replica.rsplit_once('-').unwrap();
        assert_eq!(config.address, format!("http://{host}:9090"));
    }
    let config = load(&format!("{SMALLEST}admin: {{listen: '[::1]:9090'}}\n")).unwrap();
    assert_eq!(config.address, "http://[::1]:9090");
}

#[test]
fn endpoints_inherit_the_defaults_and_override_them() {
    let yaml = "\
cluster: c
defaults:
  every: 5s
  max_body: 1KiB
  headers: {X-One: d, X-Two: d}
  expect: {content_type: text/csv}
endpoints:
  - {name: a, url: 'http://a/'}
  - name: b
    url: http://b/
    every: 1s
    headers: {x-two: own}
    expect: {content_type: [image/*, Text/Plain]}
";
    let config = load(yaml).unwrap();
    let [a, b] = config.endpoints.as_slice() else {
        panic!("two endpoints");
    };
    let headers = |index: usize| -> Vec<(&str, &str)> {
        let headers = &config.endpoints[index].headers;
        headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
    };
    assert_eq!((a.every, b.every), (Duration::from_secs(5), Duration::from_secs(1)));
    assert_eq!((a.max_body, b.max_body), (1024, 1024));
    assert_eq!(headers(0), [("X-One", "d"), ("X-Two", "d")]);
    assert_eq!(headers(1), [("X-One", "d"), ("x-two", "own")]);
    assert_eq!(a.expect, Expectation::ContentType(vec!["text/csv".into()]));
    let both = vec!["image/*".into(), "text/plain".into()];
    assert_eq!(b.expect, Expectation::ContentType(both));
}

#[test]
fn aliases_are_read() {
    let yaml = format!(
        "{SMALLEST}  - name: b\n    url: http://b/\n    every: &every 2s\n    timeout: *every\n"
    );
    let config = load(&yaml).unwrap();
    assert_eq!(config.endpoints[1].timeout, Duration::from_secs(2));
}

#[test]
fn ten_thousand_endpoints_load_in_well_under_a_second() {
    let mut yaml = String::from("cluster: c\nendpoints:\n");
    for index in 0..10_000 {
        yaml += &format!("  - name: e{index}\n    url: http://localhost/{index}\n    every: 1s\n");
    }
    let started = Instant::now();
    assert_eq!(load(&yaml).unwrap().endpoints.len(), 10_000);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
}
