//! Where Redis is, in each of its shapes, and how connections to it are encrypted.

use std::path::PathBuf;

use pollux::config::{Config, Environment, RedisConfig, RedisPlace, ServerAddress};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::{SMALLEST, load, load_in, refusal};

fn redis(settings: &str) -> RedisConfig {
    load(&format!("{SMALLEST}redis: {{{settings}}}\n")).unwrap().redis.unwrap()
}

fn at(host: &str, port: u16) -> ServerAddress {
    ServerAddress { host: host.to_owned(), port }
}

#[test]
fn a_url_is_the_address_of_a_server() {
    for (url, host, port, database) in [
        ("redis://h", "h", 6379, 0),
        ("redis://h:7000/", "h", 7000, 0),
        ("redis://10.1.2.3/15", "10.1.2.3", 6379, 15),
        ("redis://[::1]:7000/1", "::1", 7000, 1),
    ] {
        let redis = redis(&format!("url: '{url}'"));
        let address = at(host, port);
        assert_eq!(redis.place, RedisPlace::Server { address, database }, "{url}");
        assert!(redis.tls.is_none());
    }
}

#[test]
fn sentinels_and_servers_of_a_cluster_have_default_ports() {
    let nodes = "[one, 'two:7000', '[::1]', '[::1]:7000']";
    let expected = |port| vec![at("one", port), at("two", 7000), at("::1", port), at("::1", 7000)];
    let sentinel = redis(&format!("sentinel: {{master: mymaster, nodes: {nodes}}}"));
    let master = "mymaster".to_owned();
    assert_eq!(sentinel.place, RedisPlace::Sentinel { master, nodes: expected(26379) });
    let cluster = redis(&format!("cluster: {nodes}"));
    assert_eq!(cluster.place, RedisPlace::Cluster { nodes: expected(6379) });
}

#[test]
fn the_login_and_the_timeout_are_the_same_in_every_shape() {
    for place in ["url: redis://h", "sentinel: {master: m, nodes: h}", "cluster: h"] {
        let redis = redis(&format!("{place}, username: u, password: p, timeout: 400ms"));
        assert_eq!(redis.username.as_deref(), Some("u"));
        assert_eq!(redis.password.unwrap().expose(), "p");
        assert_eq!(redis.timeout.as_millis(), 400);
    }
}

#[test]
fn tls_is_asked_for_by_the_scheme_or_the_setting() {
    for settings in [
        "url: rediss://h",
        "url: rediss://h, tls: {}",
        "sentinel: {master: m, nodes: h}, tls: {}",
        "cluster: h, tls: {}",
    ] {
        let tls = redis(settings).tls.expect(settings);
        assert_eq!((tls.ca, tls.identity), (None, None));
    }
}

/// Settings that do not say where Redis is.
pub(crate) fn misplaced() -> Vec<(&'static str, String)> {
    let addresses = "expected a list of addresses such as [one.example:6379, '[::1]:6379'], found";
    vec![
        ("timeout: 400ms", "redis: expected one of url, sentinel and cluster, found none".to_owned()),
        (
            "url: redis://h, cluster: [h]",
            "redis: expected one of url, sentinel and cluster, found redis.url and redis.cluster"
                .to_owned(),
        ),
        (
            "sentinel: {nodes: h}",
            "redis.sentinel.master: expected the name under which Sentinel watches the master, such as mymaster, found nothing".to_owned(),
        ),
        (
            "sentinel: {master: a b, nodes: h}",
            "redis.sentinel.master: expected the name under which Sentinel watches the master, such as mymaster, found \"a b\"".to_owned(),
        ),
        ("sentinel: {master: m}", format!("redis.sentinel.nodes: {addresses} nothing")),
        ("sentinel: h", "redis.sentinel: expected settings (master, nodes), found text".to_owned()),
        (
            "sentinel: {master: m, nodes: h, database: 1}",
            "redis.sentinel.database: unknown setting; known here: master, nodes".to_owned(),
        ),
        ("cluster: []", format!("redis.cluster: {addresses} an empty list")),
        ("cluster: {a: b}", format!("redis.cluster: {addresses} a mapping")),
        ("cluster: ''", format!("redis.cluster: {addresses} \"\"")),
        ("cluster: 'a,,b'", format!("redis.cluster: {addresses} a,,b")),
    ]
}

#[test]
fn what_does_not_say_where_redis_is_is_refused() {
    for (settings, expected) in misplaced() {
        let found = refusal(&format!("{SMALLEST}redis: {{{settings}}}\n"));
        assert_eq!(found, format!("pollux.yaml:6: {expected}"), "{settings}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let expected = "expected an address such as one.example:6379 or [::1]:6379, found";
    for bad in ["::1", "h:", "h:x", "h:0", "h:65536", "h:+1", "redis://h", "u@h", "h/1", "[h]:1"] {
        let found = refusal(&format!("{SMALLEST}redis:\n  cluster:\n    - good\n    - '{bad}'\n"));
        assert_eq!(found, format!("pollux.yaml:9: redis.cluster[1]: {expected} {bad}"));
    }
}

#[test]
fn contradictions_about_tls_are_refused() {
    let table = [
        (
            "url: redis://h, tls: {}",
            "redis.url: expected rediss:// beside redis.tls, found redis://, which is without TLS",
        ),
        ("url: rediss://h, tls: true", "redis.tls: expected settings (ca, cert, key), found text"),
        (
            "url: rediss://h, tls: {cert: c}",
            "redis.tls.key: expected the private key's file beside cert, found nothing",
        ),
        (
            "url: rediss://h, tls: {key: k}",
            "redis.tls.cert: expected the certificate's file beside key, found nothing",
        ),
        ("url: rediss://h, tls: {ca: ''}", "redis.tls.ca: expected a file's path, found \"\""),
    ];
    for (settings, expected) in table {
        let found = refusal(&format!("{SMALLEST}redis: {{{settings}}}\n"));
        assert_eq!(found, format!("pollux.yaml:6: {expected}"), "{settings}");
    }
}

/// A configuration beside files of its own.
fn load_beside(files: &[(&str, &str)], tls: &str) -> Result<Config, String> {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    let yaml = format!("{SMALLEST}redis:\n  cluster: h\n  tls: {tls}\n");
    std::fs::write(directory.path().join("pollux.yaml"), yaml).unwrap();
    let loaded = load_in(&directory, &Environment::default());
    let prefix = format!("{}/", directory.path().display());
    loaded.map_err(|errors| errors.replace(&prefix, ""))
}

/// Certificates of an authority and of a client, and the client's key.
fn pem() -> [(&'static str, String); 3] {
    let authority = Authority::new("authority");
    let client = authority.sign();
    [("ca.pem", authority.pem), ("cert.pem", client.pem), ("key.pem", client.key)]
}

#[test]
fn files_for_tls_are_found_beside_the_configuration() {
    let pem = pem();
    let files = pem.each_ref().map(|(name, content)| (*name, content.as_str()));
    let config = load_beside(&files, "{ca: ca.pem, cert: cert.pem, key: key.pem}").unwrap();
    let tls = config.redis.unwrap().tls.unwrap();
    assert_eq!(tls.ca.as_ref().and_then(|ca| ca.file_name()).unwrap(), "ca.pem");
    assert_ne!(tls.ca.unwrap(), PathBuf::from("ca.pem"));
}

#[test]
fn files_for_tls_that_cannot_be_used_are_refused_all_at_once() {
    let [_, (_, cert), (_, key)] = pem();
    let [_, _, (_, other_key)] = pem();
    let none = "expected certificates in PEM, found none";
    let no_key = "expected a private key in PEM without a passphrase, found none";
    let table = [
        (vec![], "{ca: ca.pem}", "8: redis.tls.ca: ca.pem: expected a file, found none".to_owned()),
        (vec![("ca.pem", "text")], "{ca: ca.pem}", format!("8: redis.tls.ca: ca.pem: {none}")),
        (
            vec![("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")],
            "{ca: ca.pem}",
            "8: redis.tls.ca: ca.pem: expected X.509 certificates: invalid peer certificate: BadEncoding".to_owned(),
        ),
        (
            vec![("a", &key), ("b", &cert)],
            "{cert: a, key: b}",
            format!("8: redis.tls.cert: a: {none}\npollux.yaml:8: redis.tls.key: b: {no_key}"),
        ),
        (
            vec![("a", &cert), ("b", &other_key)],
            "{cert: a, key: b}",
            "8: redis.tls.key: b: expected the private key of redis.tls.cert: keys may not be consistent: KeyMismatch".to_owned(),
        ),
    ];
    for (files, tls, expected) in table {
        let found = load_beside(&files, tls).unwrap_err();
        assert_eq!(found, format!("pollux.yaml:{expected}"), "{tls}");
    }
}
