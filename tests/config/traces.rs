//! What `traces` means, and what of it is refused.

use crate::{SMALLEST, environment, load, load_with, refusal};

/// What `traces` is refused for, behind [`SMALLEST`], which has five lines.
#[test]
fn bad_traces_are_refused_with_their_place() {
    let expected = "expected the http or https URL of a collector such as http://collector:4318";
    let ratio = "6: traces.ratio: expected a number from 0 to 1 such as 0.01, found";
    let table = [
        ("{}", format!("6: traces.endpoint: {expected}, found nothing")),
        ("", "6: traces: expected settings (endpoint, ratio, headers), found nothing".to_owned()),
        (
            "http://c:4318",
            "6: traces: expected settings (endpoint, ratio, headers), found text".to_owned(),
        ),
        ("{endpoint: c}", format!("6: traces.endpoint: {expected}: relative URL without a base")),
        ("{endpoint: 'c:4317'}", format!("6: traces.endpoint: {expected}: it has another scheme")),
        (
            "{endpoint: 'grpc://c:4317'}",
            format!("6: traces.endpoint: {expected}: it has another scheme"),
        ),
        (
            "{endpoint: 'http://u:hunter2@c'}",
            format!(
                "6: traces.endpoint: {expected}: it has credentials, which belong into traces.headers"
            ),
        ),
        (
            "{endpoint: 'http://c/?key=hunter2'}",
            format!("6: traces.endpoint: {expected}: it goes on after the path"),
        ),
        ("{endpoint: [a]}", format!("6: traces.endpoint: {expected}, found a list")),
        ("{endpoint: 'http://c', ratio: 1.01}", format!("{ratio} 1.01")),
        ("{endpoint: 'http://c', ratio: -0.1}", format!("{ratio} -0.1")),
        ("{endpoint: 'http://c', ratio: 10%}", format!("{ratio} 10%")),
        ("{endpoint: 'http://c', ratio: nan}", format!("{ratio} nan")),
        ("{endpoint: 'http://c', ratio: .}", format!("{ratio} .")),
        ("{endpoint: 'http://c', ratio: ''}", format!("{ratio} \"\"")),
        (
            "{endpoint: 'http://c', headers: x}",
            "6: traces.headers: expected a mapping of header names to values, found text"
                .to_owned(),
        ),
        (
            "{endpoint: 'http://c', headers: {Content-Type: x}}",
            "6: traces.headers.Content-Type: expected another header: Pollux sets this one itself"
                .to_owned(),
        ),
        (
            "{endpoint: 'http://c', headers: {a b: hunter2}}",
            "6: traces.headers.a b: expected a header name such as X-Api-Key".to_owned(),
        ),
        (
            "{endpoint: 'http://c', headers: {a: \"hunter\\n2\"}}",
            "6: traces.headers.a: expected a header value: visible ASCII characters, spaces and \
             tabs, found others"
                .to_owned(),
        ),
        (
            "{endpoint: 'http://c', headers: {a: '${env:NONE}'}}",
            "6: traces.headers.a: expected the variable NONE, which is not set".to_owned(),
        ),
        (
            "{endpoint: 'http://c', ration: 1}",
            "6: traces.ration: unknown setting; did you mean `ratio`?".to_owned(),
        ),
    ];
    for (traces, expected) in table {
        let found = refusal(&format!("{SMALLEST}traces: {traces}\n"));
        assert_eq!(found, format!("pollux.yaml:{expected}"), "{traces}");
    }
}

#[test]
fn all_errors_of_traces_are_told_at_once() {
    let yaml = format!("{SMALLEST}traces:\n  endpoint: c\n  ratio: 2\n  headers: {{te: x}}\n");
    let found = refusal(&yaml);
    let places: Vec<&str> = found.lines().map(|line| line.split(": ").nth(1).unwrap()).collect();
    assert_eq!(places, ["traces.endpoint", "traces.ratio", "traces.headers.te"]);
}

#[test]
fn without_traces_there_are_none() {
    assert_eq!(load(SMALLEST).unwrap().traces, None);
}

#[test]
fn spans_are_posted_below_the_path_of_the_endpoint() {
    for (endpoint, expected) in [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp", "https://collector/otlp/v1/traces"),
        ("https://collector/otlp/", "https://collector/otlp/v1/traces"),
    ] {
        let config = load(&format!("{SMALLEST}traces: {{endpoint: '{endpoint}'}}\n")).unwrap();
        let traces = config.traces.unwrap();
        assert_eq!(traces.url.as_str(), expected);
        assert_eq!(traces.ratio, 0.01);
    }
}

#[test]
fn a_ratio_is_a_share_of_the_polls() {
    for (ratio, expected) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1.0", 1.0)] {
        let yaml = format!("{SMALLEST}traces: {{endpoint: 'http://c', ratio: {ratio}}}\n");
        assert_eq!(load(&yaml).unwrap().traces.unwrap().ratio, expected);
    }
}

#[test]
fn headers_of_traces_may_be_secrets_and_are_not_shown() {
    let yaml =
        format!("{SMALLEST}traces:\n  endpoint: http://c\n  headers: {{X-Key: '${{env:KEY}}'}}\n");
    let traces = load_with(yaml.as_bytes(), &environment(&[("KEY", "hunter2")])).unwrap().traces;
    let traces = traces.unwrap();
    assert_eq!(traces.headers[0].1.expose(), "hunter2");
    assert!(!format!("{traces:?}").contains("hunter2"));
}

#[test]
fn variables_override_traces() {
    let variables =
        [("POLLUX__TRACES__ENDPOINT", "http://other:4318"), ("POLLUX__TRACES__RATIO", "1")];
    let config = load_with(SMALLEST.as_bytes(), &environment(&variables)).unwrap();
    assert_eq!(config.traces.unwrap().url.host_str(), Some("other"));
}

/// What the example shows of traces, in comments, is good, and its ratio is the default.
#[test]
fn the_example_shows_traces() {
    let example = std::fs::read_to_string("config/pollux.yaml").unwrap();
    let section = example.lines().skip_while(|line| !line.starts_with("# traces:"));
    let section = section.take_while(|line| line.starts_with("# "));
    let section: Vec<&str> = section.map(|line| line.strip_prefix("# ").unwrap()).collect();
    let yaml = format!("{SMALLEST}{}\n", section.join("\n"));
    let token = environment(&[("COLLECTOR_TOKEN", "hunter2")]);
    let shown = load_with(yaml.as_bytes(), &token).unwrap().traces.unwrap();
    let default = load(&format!("{SMALLEST}traces: {{endpoint: 'http://c'}}\n")).unwrap();
    assert_eq!(shown.ratio, default.traces.unwrap().ratio);
    assert_eq!(shown.headers[0].1.expose(), "Bearer hunter2");
}
