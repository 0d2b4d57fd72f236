//! The schema and the reader, held against each other.

use std::path::Path;

use serde_json::{Value, json};

use super::super::environment::Environment;
use super::super::errors::Problems;
use super::super::reader::Reader;
use super::super::{Config, endpoints, redis, settings, values, yaml};
use super::{schema, shapes};

/// Every list of settings that the reader knows, with where the schema has the same.
///
/// A new section of the configuration belongs here, and in [`schema`].
fn sections() -> Vec<(&'static str, &'static [&'static str])> {
    vec![
        ("", &settings::SETTINGS),
        ("/properties/redis", &redis::SETTINGS),
        ("/properties/redis/properties/sentinel", &redis::SENTINEL),
        ("/properties/redis/properties/tls", &redis::TLS),
        ("/properties/lease", &settings::LEASE),
        ("/properties/endpoints/items", &endpoints::SETTINGS),
        ("/properties/endpoints/items/properties/expect", &endpoints::EXPECT),
        ("/properties/defaults", &endpoints::POLICY),
        ("/properties/defaults/properties/expect", &endpoints::EXPECT),
        ("/properties/gateway", &settings::GATEWAY),
        ("/properties/admin", &settings::ADMIN),
    ]
}

#[test]
fn the_schema_has_the_settings_that_the_reader_knows() {
    let schema = schema();
    for (place, known) in sections() {
        let section = schema.pointer(place).unwrap_or_else(|| panic!("no section at {place}"));
        assert_eq!(section["additionalProperties"], false, "{place}");
        let mut expected = known.to_vec();
        expected.sort_unstable();
        let found = section["properties"].as_object().unwrap();
        let mut found: Vec<&str> = found.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{place}");
    }
    let closed = sections_within(&schema);
    assert_eq!(closed, sections().len(), "sections of the schema that are compared with nothing");
}

/// How many mappings of settings a schema has.
fn sections_within(schema: &Value) -> usize {
    match schema {
        Value::Object(map) => {
            let own = usize::from(map.get("additionalProperties") == Some(&Value::Bool(false)));
            own + map.values().map(sections_within).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(sections_within).sum(),
        _ => 0,
    }
}

#[test]
fn the_schema_names_the_defaults_that_apply() {
    let mut bare = json!({
        "cluster": "c",
        "replica": "castor",
        "redis": { "url": "redis://localhost" },
        "lease": {},
        "gateway": {},
        "admin": {},
        "endpoints": [{ "name": "a", "url": "http://localhost/", "every": "10s" }],
    });
    let expected = format!("{:?}", config(&bare));
    let filled = fill_in(&mut bare, &schema());
    assert_eq!(filled, 11, "{bare:#}");
    assert_eq!(format!("{:?}", config(&bare)), expected);
}

/// Puts defaults in place of what is missing. Returns how many.
fn fill_in(value: &mut Value, schema: &Value) -> usize {
    match value {
        Value::Object(map) => {
            let mut filled = 0;
            for (key, property) in schema["properties"].as_object().unwrap() {
                if let Some(value) = map.get_mut(key) {
                    filled += fill_in(value, property);
                } else if let Some(default) = property.get("default") {
                    map.insert(key.clone(), default.clone());
                    filled += 1;
                }
            }
            filled
        }
        Value::Array(items) => items.iter_mut().map(|item| fill_in(item, &schema["items"])).sum(),
        _ => 0,
    }
}

/// Reads a configuration that is JSON, and so YAML.
fn config(json: &Value) -> Config {
    let tree = yaml::parse(&json.to_string()).unwrap();
    let environment = Environment::default();
    let mut reader = Reader::new(&environment, Path::new(""), Problems::default());
    settings::read(&tree, &mut reader).filter(|_| reader.into_problems().is_empty()).unwrap()
}

#[test]
fn patterns_agree_with_what_the_reader_makes_of_texts() {
    type Reads = fn(&str) -> bool;
    let durations: Reads = |text| values::duration(text).is_some();
    let sizes: Reads = |text| values::size(text).is_some();
    let media: Reads = |text| values::media_range(text).is_some();
    let listen: Reads = |text| text.parse::<std::net::SocketAddr>().is_ok();
    let urls: Reads = |text| values::http_url(text).is_ok();
    let table: [(&str, Reads, &[&str]); 5] = [
        (
            shapes::DURATION,
            durations,
            &["250ms", "2s", "1h30m", "0s", "", "0", "5", "s", "-1s", "1.5s", "2 s", "2S", "1d"],
        ),
        (
            shapes::SIZE,
            sizes,
            &[
                "4096", "1B", "2kB", "2KB", "2MB", "1GB", "512KiB", "1GiB", "kiB", "", "1 MiB",
                "1kiB",
            ],
        ),
        (
            shapes::MEDIA_RANGE,
            media,
            &["text/csv", "Image/*", "*/*", "*/csv", "text", "text/", "/csv", "a/b/c", "a/b; c=d"],
        ),
        (
            shapes::LISTEN,
            listen,
            &["0.0.0.0:8080", "[::]:8080", "[fe80::1%2]:1", "localhost:1", "9090", "1.2.3.4", ":1"],
        ),
        (
            shapes::HTTP_URL,
            urls,
            &["http://h", "https://u:p@h:1/a?b#c", "ftp://h", "http://", "h", "", "redis://h"],
        ),
    ];
    for (pattern, reads, texts) in table {
        let shape = shapes::text("", pattern);
        let validator = jsonschema::validator_for(&shape).unwrap();
        for text in texts {
            assert_eq!(validator.is_valid(&json!(text)), reads(text), "{pattern}: {text:?}");
        }
        for secret in ["${env:A}", "a${file:/run/a}b"] {
            assert!(validator.is_valid(&json!(secret)), "{pattern}: {secret}");
        }
        assert!(!validator.is_valid(&json!("${A}")) || reads("${A}"), "{pattern}");
    }
}
