//! What `pollux schema` prints, and the reader: whatever is good fits the schema, and of what is
//! refused the schema refuses all that one setting shows by itself.

use std::sync::LazyLock;

use jsonschema::Validator;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::Value;

use crate::SMALLEST;
use crate::bad_settings::{at_the_top, of_an_endpoint};
use crate::redis::misplaced;

static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::validator_for(&pollux::config::schema()).unwrap());

/// What the schema says of a file, as an editor or Helm reads it; `None` if it is no YAML for them.
pub(crate) fn complaints(yaml: &str) -> Option<Vec<String>> {
    let documents = Yaml::load_from_str(yaml).ok().filter(|documents| documents.len() == 1)?;
    let value = json(&documents[0])?;
    let errors = VALIDATOR.iter_errors(&value);
    Some(errors.map(|error| format!("{}: {error}", error.instance_path())).collect())
}

fn json(yaml: &Yaml<'_>) -> Option<Value> {
    Some(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect::<Option<Vec<_>>>()?.into(),
        Yaml::Mapping(map) => {
            let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                Some((key.as_str()?.to_owned(), json(value)?))
            };
            map.iter().map(entry).collect::<Option<serde_json::Map<_, _>>>()?.into()
        }
        _ => return None,
    })
}

#[test]
fn the_schema_is_one() {
    assert!(jsonschema::meta::is_valid(&pollux::config::schema()));
}

#[test]
fn the_example_fits() {
    let example = std::fs::read_to_string("config/pollux.yaml").unwrap();
    assert_eq!(complaints(&example).unwrap(), [""; 0]);
}

/// Numbers and words of YAML are text to the reader; secrets stand for anything.
#[test]
fn whatever_the_reader_takes_fits() {
    for line in [
        "history: 5",
        "history: '5'",
        "history: ${env:HISTORY}",
        "replica: 7",
        "lease: {crash_probe: 0}",
        "lease: {crash_probe: 0s}",
        "lease: {crash_probe: '${env:PROBE}'}",
        "gateway: {listen: '[::]:0', max_streams: 1048576}",
        "admin: {listen: '${env:IP}:9090', token: 12345678}",
        "drain: 1m${env:SECONDS}s",
        "redis: {url: 'redis://u:${env:PASSWORD}@h:7000/1'}",
        "redis: {url: 'rediss://h', tls: {ca: '${env:DIRECTORY}/ca.pem'}}",
        "redis: {sentinel: {master: 1, nodes: 'one:26379, two'}, password: 12345}",
        "redis: {cluster: [one, '[::1]:6379']}",
        "redis: {timeout: 400ms}", // for a variable gives the URL
        "defaults: {max_body: 4096, headers: {X-Debug: true, X-Number: 1.5}}",
        "defaults: {headers: {Authorization: 'Bearer ${file:/run/ä}'}}",
        "defaults: {expect: {content_type: [text/csv, image/*]}}",
    ] {
        let found = complaints(&format!("{SMALLEST}{line}\n")).unwrap();
        assert_eq!(found, [""; 0], "{line}");
    }
}

/// What only the reader tells: amounts of durations, what a URL says in detail, how settings fit
/// together, what is lost where YAML becomes JSON, and what lies outside of the file.
const ONLY_THE_READER: [&str; 27] = [
    "drain: 0s",
    "drain: 9000h",
    "every: 0ms",
    "timeout: 0s",
    "max_body: 1GiB",
    "redis: {url: 'redis://u:hunter2@h:x'}",
    "redis: {url: 'redis://h/4294967296'}",
    "redis: {url: 'redis://u:p@h', password: q}",
    "redis: {url: 'redis://u@h', username: v}",
    "redis: {url: 'redis://localhost', timeout: 4s}",
    "redis: {url: 'redis://localhost', username: castor}",
    "redis: {timeout: 400ms}",
    "lease: {duration: 4s}",
    "lease: {retry_period: 4s}",
    "lease: {retry_period: 9ms}",
    "lease: {crash_probe: 9ms}",
    "lease: {crash_probe: 7s}",
    "admin: {listen: '127.0.0.1:8080'}",
    "connect_timeout: 4s",
    "stale_after: 1s",
    "  - name: a\n    url: http://b/",
    "headers: {a: b, A: b}",
    "headers: {authorization: x}",
    "drain: !!str 1s",
    "every: ${env:HOME}",
    "every: ${file:every}",
    "every: ${file:.}",
];

#[test]
fn what_is_refused_of_a_setting_by_itself_does_not_fit() {
    let bad: Vec<String> = at_the_top()
        .into_iter()
        .map(|(line, _)| format!("{SMALLEST}{line}\n"))
        .chain(of_an_endpoint().into_iter().map(|(good, bad, _)| SMALLEST.replace(good, bad)))
        .chain(misplaced().into_iter().map(|(redis, _)| format!("{SMALLEST}redis: {{{redis}}}\n")))
        .collect();
    for yaml in &bad {
        let fits = complaints(yaml).is_some_and(|found| found.is_empty());
        let only_the_reader = |line: &&str| yaml.contains(&format!("{line}\n"));
        assert_eq!(fits, ONLY_THE_READER.iter().any(only_the_reader), "{yaml}");
    }
}

#[test]
fn an_interval_of_all_or_of_each_is_needed() {
    let without = SMALLEST.replace("    every: 1s\n", "");
    let found = complaints(&without).unwrap();
    assert_eq!(found, ["/endpoints/0: \"every\" is a required property"]);
    assert_eq!(complaints(&format!("{without}defaults: {{every: 1s}}\n")).unwrap(), [""; 0]);
    assert_eq!(complaints(&format!("{without}defaults: {{timeout: 1s}}\n")).unwrap().len(), 1);
}
