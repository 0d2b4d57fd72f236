//! Secrets: where they come from, and where they are not shown.

use pollux::config::Environment;
use tempfile::TempDir;

use crate::{SMALLEST, environment, load, load_in, load_with};

#[test]
fn secrets_come_from_variables_and_from_files_beside_the_configuration() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("token"), "from file\n\n").unwrap();
    let yaml = format!("{SMALLEST}    headers: {{A: '<${{env:A}}> ${{file:token2}} $${{x}}'}}\n");
    std::fs::write(directory.path().join("token2"), "from file\r\n").unwrap();
    std::fs::write(directory.path().join("pollux.yaml"), yaml).unwrap();
    let config = load_in(&directory, &environment(&[("A", "from variable")])).unwrap();
    let value = config.endpoints[0].headers[0].1.expose();
    assert_eq!(value, "<from variable> from file ${x}");
}

#[test]
fn a_secret_of_the_wrong_kind_is_refused() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();
    std::fs::write(directory.path().join("bytes"), b"\xff").unwrap();
    for (file, expected) in [
        ("large", "expected a file of at most 65536 bytes, found 65537"),
        ("bytes", "expected UTF-8, found other bytes"),
    ] {
        let yaml = format!("{SMALLEST}replica: ${{file:{file}}}\n");
        std::fs::write(directory.path().join("pollux.yaml"), yaml).unwrap();
        let found = load_in(&directory, &Environment::default()).unwrap_err();
        assert_eq!(found, format!("pollux.yaml:6: replica: ${{file:{file}}}: {expected}"));
    }
}

/// Puts a secret that fits nothing into every kind of setting.
#[test]
fn secrets_are_not_in_error_messages() {
    let settings = [
        "cluster",
        "replica",
        "address",
        "history",
        "drain",
        "lease.duration",
        "gateway.listen",
        "gateway.max_streams",
        "admin.listen",
        "redis.url",
        "redis.sentinel.master",
        "redis.sentinel.nodes",
        "redis.cluster",
        "redis.timeout",
        "endpoints.0.name",
        "endpoints.0.url",
        "endpoints.0.every",
        "endpoints.0.max_body",
        "endpoints.0.headers.x",
        "endpoints.0.expect.content_type",
    ];
    for setting in settings {
        let variable = format!("POLLUX__{}", setting.to_uppercase().replace('.', "__"));
        let variables = [(variable.as_str(), "${env:SECRET}"), ("SECRET", "hunter2\n hunter2")];
        let found = load_with(SMALLEST.as_bytes(), &environment(&variables));
        let found = found.expect_err(setting);
        assert!(found.starts_with(&variable), "{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}

#[test]
fn secrets_are_not_in_debug_output() {
    let yaml = "\
cluster: c
redis: {url: 'redis://me:hunter2@h'}
endpoints:
  - name: a
    url: http://me:hunter2@localhost/?key=hunter2
    every: 1s
    headers: {X-Api-Key: hunter2}
";
    let config = load(yaml).unwrap();
    assert_eq!(config.endpoints[0].url.password(), Some("hunter2"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn credentials_in_a_redis_url_become_settings() {
    let yaml = format!("{SMALLEST}redis: {{url: 'rediss://me:a%2Fb@h:7000/2'}}\n");
    let redis = load(&yaml).unwrap().redis.unwrap();
    assert_eq!(redis.to_string(), "rediss://h:7000/2");
    assert_eq!(redis.username.as_deref(), Some("me"));
    assert_eq!(redis.password.unwrap().expose(), "a/b");
}
