//! Settings that are refused, each with its exact message.

use crate::{SMALLEST, refusal};

/// What is refused at the top, put behind [`SMALLEST`], which has five lines.
pub(crate) fn at_the_top() -> Vec<(&'static str, &'static str)> {
    vec![
        ("history: -1", "6: history: expected a whole number from 0 to 1000000000, found -1"),
        ("history: 1.5", "6: history: expected a whole number from 0 to 1000000000, found 1.5"),
        ("history:", "6: history: expected a whole number from 0 to 1000000000, found nothing"),
        ("drain: 0s", "6: drain: expected a duration above zero, found 0s"),
        ("drain: 9000h", "6: drain: expected a duration of at most 8760h, found a longer one"),
        ("drain: [1s]", "6: drain: expected a duration such as 250ms, 2s or 5m, found a list"),
        ("drain: 1 day", "6: drain: expected a duration such as 250ms, 2s or 5m, found \"1 day\""),
        ("replica: ''", "6: replica: expected 1 to 128 letters, digits or signs, found \"\""),
        ("replica: a b", "6: replica: expected 1 to 128 letters, digits or signs, found \"a b\""),
        (
            "address: 10.1.2.3:9090",
            "6: address: expected an http or https URL such as http://10.1.2.3:9090: relative URL without a base",
        ),
        (
            "address: redis://h",
            "6: address: expected an http or https URL such as http://10.1.2.3:9090: it has another scheme",
        ),
        (
            "redis:",
            "6: redis: expected settings (url, sentinel, cluster, username, password, tls, timeout), found nothing",
        ),
        (
            "redis: redis://user:hunter2@h",
            "6: redis: expected settings (url, sentinel, cluster, username, password, tls, timeout), found text",
        ),
        ("redis: {}", "6: redis: expected one of url, sentinel and cluster, found none"),
        (
            "redis: {url: http://h}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: it has another scheme",
        ),
        (
            "redis: {url: 'redis:///0'}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: it has no host",
        ),
        (
            "redis: {url: 'redis://u:hunter2@h:x'}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: invalid port number",
        ),
        (
            "redis: {url: redis://h/prices}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: its path is no database number",
        ),
        (
            "redis: {url: 'rediss://h/0#insecure'}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: it goes on after the database number",
        ),
        (
            "redis: {url: 'redis://h/4294967296'}",
            "6: redis.url: expected a redis or rediss URL such as redis://localhost:6379/0: its database number is too large",
        ),
        (
            "redis: {url: 'redis://u:p@h', password: q}",
            "6: redis.url: expected the password in one place, found it in redis.password too",
        ),
        (
            "redis: {url: 'redis://u@h', username: v}",
            "6: redis.url: expected the username in one place, found it in redis.username too",
        ),
        (
            "redis: {url: redis://h, timeout: 0}",
            "6: redis.timeout: expected a duration such as 250ms, 2s or 5m, found 0",
        ),
        (
            "redis: {url: redis://h, password: [x]}",
            "6: redis.password: expected text, found a list",
        ),
        (
            "lease: {duration: 4s}",
            "6: lease: expected retry_period < renew_deadline < duration, found retry_period 1s, renew_deadline 4s, duration 4s",
        ),
        (
            "lease: {retry_period: 4s}",
            "6: lease: expected retry_period < renew_deadline < duration, found retry_period 4s, renew_deadline 4s, duration 6s",
        ),
        (
            "lease: {retry_period: 9ms}",
            "6: lease: expected a retry_period of at least 10ms, found retry_period 9ms, renew_deadline 4s, duration 6s",
        ),
        (
            "lease: {crash_probe: 9ms}",
            "6: lease: expected a crash_probe from 10ms to the duration of 6s, or 0s for none, found 9ms",
        ),
        (
            "lease: {crash_probe: 7s}",
            "6: lease: expected a crash_probe from 10ms to the duration of 6s, or 0s for none, found 7s",
        ),
        (
            "lease: {crash_probe: off}",
            "6: lease.crash_probe: expected a duration such as 250ms, 2s or 5m, found off",
        ),
        (
            "redis: {url: 'redis://localhost', timeout: 4s}",
            "6: redis.timeout: expected less than the renew_deadline of 4s, within which a renewal is tried again, found 4s",
        ),
        (
            "redis: {url: 'redis://localhost', username: castor}",
            "6: redis: expected a password with the username, found none",
        ),
        (
            "lease: {ttl: 4s}",
            "6: lease.ttl: unknown setting; known here: duration, renew_deadline, retry_period, crash_probe",
        ),
        (
            "gateway: {listen: localhost:8080}",
            "6: gateway.listen: expected an IP address and port such as 0.0.0.0:8080 or [::]:8080, found localhost:8080",
        ),
        (
            "gateway: {max_streams: 0}",
            "6: gateway.max_streams: expected a whole number from 1 to 1048576, found 0",
        ),
        ("gateway: 8080", "6: gateway: expected settings (listen, max_streams), found text"),
        (
            "admin: {listen: '127.0.0.1:8080'}",
            "6: admin.listen: expected another port than gateway.listen, found 127.0.0.1:8080",
        ),
        (
            "admin: {token: hunter2}",
            "6: admin.token: expected at least 8 letters, digits or signs of ASCII, found another text, which is not shown",
        ),
        (
            "admin: {token: [hunter2]}",
            "6: admin.token: expected at least 8 letters, digits or signs of ASCII, found a list",
        ),
        (
            "admin: {listen: '9090'}",
            "6: admin.listen: expected an IP address and port such as 0.0.0.0:8080 or [::]:8080, found 9090",
        ),
        (
            "defaults: {name: b}",
            "6: defaults.name: unknown setting; known here: every, timeout, connect_timeout, max_body, stale_after, headers, expect",
        ),
        (
            "defaults: {every: 0}",
            "6: defaults.every: expected a duration such as 250ms, 2s or 5m, found 0",
        ),
        ("clutser: d", "6: clutser: unknown setting; did you mean `cluster`?"),
        ("Drain: 1s", "6: Drain: unknown setting; did you mean `drain`?"),
        (
            "x: 1",
            "6: x: unknown setting; known here: cluster, replica, address, redis, lease, history, endpoints, defaults, gateway, admin, traces, drain",
        ),
        ("cluster: d", "6: cluster: given twice, first in line 1"),
        ("[a]: 1", "6: expected a key of text, found a list"),
        ("? {a: 1}\n: 1", "6: expected a key of text, found a mapping"),
        (": 1", "6: expected a key before the colon, found none"),
        ("drain: !!str 1s", "6: expected no YAML tag, found one"),
        (
            "drain: *nowhere",
            "6: expected YAML: while parsing node, found unknown anchor, at column 8",
        ),
        ("drain: &a [*a]", "6: expected an alias of a finished value, found a cycle"),
        (
            "drain: 'open",
            "6: expected YAML: while scanning a quoted scalar, found unexpected end of stream, at column 8",
        ),
        (
            "admin:\n\tlisten: x",
            "7: expected YAML: tabs disallowed within this context (block indentation), at column 2",
        ),
        ("---\ncluster: d", "6: expected one YAML document, found a second one"),
    ]
}

#[test]
fn bad_settings_at_the_top_are_refused() {
    for (line, expected) in at_the_top() {
        let found = refusal(&format!("{SMALLEST}{line}\n"));
        assert_eq!(found, format!("pollux.yaml:{expected}"), "{line}");
    }
}

/// What is refused of an endpoint, put in the place of one setting of the smallest.
pub(crate) fn of_an_endpoint() -> Vec<(&'static str, &'static str, &'static str)> {
    vec![
        (
            "name: a",
            "name: a b",
            "3: endpoints[0].name: expected a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit, found \"a b\"",
        ),
        (
            "name: a",
            "name: ''",
            "3: endpoints[0].name: expected a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit, found \"\"",
        ),
        (
            "name: a",
            "timeout: 1s",
            "3: endpoints[0].name: expected a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit, found nothing",
        ),
        (
            "url: http://localhost/",
            "timeout: 1s",
            "3: endpoints[0].url: expected an http or https URL such as https://example.com/prices, found nothing",
        ),
        (
            "url: http://localhost/",
            "url: localhost",
            "4: endpoints[0].url: expected an http or https URL such as https://example.com/prices: relative URL without a base",
        ),
        (
            "url: http://localhost/",
            "url: ftp://localhost/",
            "4: endpoints[0].url: expected an http or https URL such as https://example.com/prices: it has another scheme",
        ),
        (
            "url: http://localhost/",
            "url: http://u:hunter2@localhost/\n    headers: {authorization: x}",
            "4: endpoints[0].url: expected credentials in one place, found them in headers.authorization too",
        ),
        (
            "url: http://localhost/",
            "url: http://",
            "4: endpoints[0].url: expected an http or https URL such as https://example.com/prices: empty host",
        ),
        (
            "url: http://localhost/",
            "url: {a: b}",
            "4: endpoints[0].url: expected an http or https URL such as https://example.com/prices, found a mapping",
        ),
        (
            "every: 1s",
            "timeout: 1s",
            "3: endpoints[0].every: expected a duration such as 250ms, 2s or 5m, found nothing",
        ),
        (
            "every: 1s",
            "every: 0",
            "5: endpoints[0].every: expected a duration such as 250ms, 2s or 5m, found 0",
        ),
        (
            "every: 1s",
            "every: 0ms",
            "5: endpoints[0].every: expected a duration above zero, found 0s",
        ),
        (
            "every: 1s",
            "every: 1s\n    evry: 2s",
            "6: endpoints[0].evry: unknown setting; did you mean `every`?",
        ),
        (
            "every: 1s",
            "every: 1s\n    every: 2s",
            "6: endpoints[0].every: given twice, first in line 5",
        ),
        (
            "every: 1s",
            "every: 1s\n    timeout: 0s",
            "6: endpoints[0].timeout: expected a duration above zero, found 0s",
        ),
        (
            "every: 1s",
            "every: 1s\n    timeout: 3s\n    connect_timeout: 4s",
            "7: endpoints[0].connect_timeout: expected at most the timeout of 3s, found 4s",
        ),
        (
            "every: 1s",
            "every: 1s\n    stale_after: 1s",
            "6: endpoints[0].stale_after: expected more than the interval of 1s, found 1s",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: {If-None-Match: x}",
            "6: endpoints[0].headers.If-None-Match: expected another header: Pollux sets this one itself",
        ),
        (
            "every: 1s",
            "every: 1s\n    max_body: 1 MiB",
            "6: endpoints[0].max_body: expected a size from 1B to 64MiB such as 512KiB or 10MiB, found \"1 MiB\"",
        ),
        (
            "every: 1s",
            "every: 1s\n    max_body: 0",
            "6: endpoints[0].max_body: expected a size from 1B to 64MiB such as 512KiB or 10MiB, found 0",
        ),
        (
            "every: 1s",
            "every: 1s\n    max_body: 1GiB",
            "6: endpoints[0].max_body: expected a size from 1B to 64MiB such as 512KiB or 10MiB, found 1GiB",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: [a]",
            "6: endpoints[0].headers: expected a mapping of header names to values, found a list",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: {a b: c}",
            "6: endpoints[0].headers.a b: expected a header name such as X-Api-Key",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: {a: \"hunter2\\n\"}",
            "6: endpoints[0].headers.a: expected a header value: visible ASCII characters, spaces and tabs, found others",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: {a: }",
            "6: endpoints[0].headers.a: expected a header value: visible ASCII characters, spaces and tabs, found nothing",
        ),
        (
            "every: 1s",
            "every: 1s\n    headers: {a: b, A: b}",
            "6: endpoints[0].headers.A: given twice: case makes no difference in a header name",
        ),
        (
            "every: 1s",
            "every: 1s\n    expect: json",
            "6: endpoints[0].expect: expected settings (content_type), found text",
        ),
        (
            "every: 1s",
            "every: 1s\n    expect: {content_type: csv}",
            "6: endpoints[0].expect.content_type: expected a media type such as text/csv or image/*, or a list of them, found csv",
        ),
        (
            "every: 1s",
            "every: 1s\n    expect: {content_type: []}",
            "6: endpoints[0].expect.content_type: expected a media type such as text/csv or image/*, or a list of them, found an empty list",
        ),
        (
            "every: 1s",
            "every: 1s\n    expect: {content_type: [a/b, c]}",
            "6: endpoints[0].expect.content_type[1]: expected a media type such as text/csv or image/*, found c",
        ),
        (
            "every: 1s",
            "every: 1s\n  - name: a\n    url: http://b/\n    every: 1s",
            "6: endpoints[1].name: expected a name of its own, but endpoints[0] took it in line 3",
        ),
        (
            "every: 1s",
            "every: 1s\n  - text",
            "6: endpoints[1]: expected settings (name, url, every, timeout, connect_timeout, max_body, stale_after, headers, expect), found text",
        ),
        (
            "every: 1s",
            "every: ${env:HOME",
            "5: endpoints[0].every: expected } after ${; write $${ for the characters themselves",
        ),
        (
            "every: 1s",
            "every: ${HOME}",
            "5: endpoints[0].every: expected ${env:NAME} or ${file:PATH}; write $${ for the characters themselves",
        ),
        (
            "every: 1s",
            "every: ${env:HOME}",
            "5: endpoints[0].every: expected the variable HOME, which is not set",
        ),
        (
            "every: 1s",
            "every: ${file:every}",
            "5: endpoints[0].every: ${file:every}: expected a file, found none",
        ),
        (
            "every: 1s",
            "every: ${file:.}",
            "5: endpoints[0].every: ${file:.}: expected a file, found a directory",
        ),
    ]
}

#[test]
fn bad_endpoints_are_refused() {
    for (good, bad, expected) in of_an_endpoint() {
        let yaml = SMALLEST.replace(good, bad);
        assert_eq!(refusal(&yaml), format!("pollux.yaml:{expected}"), "{yaml}");
    }
}

#[test]
fn all_errors_are_shown_at_once_in_the_order_of_the_file() {
    let found = refusal(
        "drain: soon\ncluster: C\nendpoints:\n  - url: http://a/\n    every: 0\n  - name: b\n",
    );
    assert_eq!(
        found,
        "\
pollux.yaml:1: drain: expected a duration such as 250ms, 2s or 5m, found soon
pollux.yaml:2: cluster: expected a name of 1 to 64 characters: a-z 0-9 . _ -, the first a letter or digit, found C
pollux.yaml:4: endpoints[0].name: expected a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit, found nothing
pollux.yaml:5: endpoints[0].every: expected a duration such as 250ms, 2s or 5m, found 0
pollux.yaml:6: endpoints[1].url: expected an http or https URL such as https://example.com/prices, found nothing
pollux.yaml:6: endpoints[1].every: expected a duration such as 250ms, 2s or 5m, found nothing"
    );
}

#[test]
fn beyond_a_hundred_errors_are_counted() {
    let yaml = format!("{SMALLEST}{}", "  - name: a b\n".repeat(50));
    let found = refusal(&yaml);
    assert_eq!(found.lines().count(), 101);
    assert!(found.ends_with("\nand 50 more"), "{found}");
}

#[test]
fn long_wrong_values_are_clipped_and_stay_in_one_line() {
    let found = refusal(&format!("{SMALLEST}drain: \"{}\\n{}\"\n", "x".repeat(30), "y".repeat(30)));
    let clipped = format!("{}\\n{}…", "x".repeat(30), "y".repeat(9));
    assert!(found.ends_with(&format!("found \"{clipped}\"")), "{found}");
}

#[test]
fn a_wrong_default_is_reported_once() {
    let yaml = SMALLEST.replace("    every: 1s\n", "") + "defaults: {every: 0}\n";
    assert_eq!(refusal(&yaml).lines().count(), 1);
}

#[test]
fn headers_are_bounded_in_number_and_length() {
    let many: String = (0..101).map(|index| format!("      x{index}: y\n")).collect();
    assert_eq!(
        refusal(&format!("{SMALLEST}    headers:\n{many}")),
        "pollux.yaml:6: endpoints[0].headers: expected at most 100 headers"
    );
    let long = "y".repeat(16 * 1024 + 1);
    assert_eq!(
        refusal(&format!("{SMALLEST}    headers: {{x: {long}}}\n")),
        "pollux.yaml:6: endpoints[0].headers.x: expected at most 16384 bytes, found more"
    );
}
