//! What is refused before anything runs, with which exit status.

use tokio::net::TcpListener;

use super::{configuration, file, path, pollux};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/pollux.yaml");

/// Three errors, on lines 2, 4 and 5.
const BAD: &str = "\
cluster: test
drain: soon
endpoints:
  - { name: a, url: 'ftp://localhost/', every: 1s }
  - { name: b, url: 'http://localhost/', evry: 1s, every: 2s }
";

/// Checks that all three errors are told with where they are.
fn assert_all_errors(stderr: &str, file: &str) {
    for expected in ["2: drain: ", "4: endpoints[0].url: ", "5: endpoints[1].evry: "] {
        let expected = format!("{file}:{expected}");
        assert!(stderr.lines().any(|line| line.starts_with(&expected)), "{expected}:\n{stderr}");
    }
    assert_eq!(stderr.lines().count(), 3, "{stderr}");
}

#[tokio::test]
async fn the_example_configuration_passes_and_every_endpoint_is_named() {
    let outcome = pollux(&["check", "--config", EXAMPLE]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
    let example = std::fs::read_to_string(EXAMPLE).unwrap();
    let names: Vec<&str> =
        example.lines().filter_map(|line| line.strip_prefix("  - name: ")).collect();
    assert!(!names.is_empty());
    for name in names {
        let row = |line: &str| line.split_whitespace().next() == Some(name);
        assert!(outcome.stdout.lines().any(row), "{name}:\n{}", outcome.stdout);
    }
}

#[tokio::test]
async fn check_refuses_a_bad_configuration_with_every_error_at_once() {
    let bad = file(BAD);
    let outcome = pollux(&["check", "--config", path(&bad)]).await;
    assert_eq!(outcome.status, Some(78));
    assert_eq!(outcome.stdout, "");
    assert_all_errors(&outcome.stderr, path(&bad));
}

#[tokio::test]
async fn run_refuses_a_bad_configuration_with_every_error_at_once() {
    let bad = file(BAD);
    let outcome = pollux(&["run", "--config", path(&bad)]).await;
    assert_eq!(outcome.status, Some(78));
    assert_all_errors(&outcome.stderr, path(&bad));
}

#[tokio::test]
async fn status_refuses_a_bad_configuration() {
    let bad = file(BAD);
    let outcome = pollux(&["status", "--config", path(&bad)]).await;
    assert_eq!(outcome.status, Some(78));
    assert_all_errors(&outcome.stderr, path(&bad));
}

#[tokio::test]
async fn a_configuration_that_is_not_there_is_a_bad_one() {
    let outcome = pollux(&["run", "--config", "/nowhere/pollux.yaml"]).await;
    assert_eq!(outcome.status, Some(78));
    assert!(outcome.stderr.contains("/nowhere/pollux.yaml"), "{}", outcome.stderr);
}

#[tokio::test]
async fn wrong_usage_is_told_from_failure() {
    let cases: [&[&str]; 7] = [
        &[],
        &["fly"],
        &["run"],
        &["check"],
        &["run", "--config", EXAMPLE, "--role", "king"],
        &["status", "--url", "not a url"],
        &["status", "--url", "http://localhost/", "--config", EXAMPLE],
    ];
    for arguments in cases {
        let outcome = pollux(arguments).await;
        assert_eq!(outcome.status, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{arguments:?}");
        assert!(!outcome.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn help_and_version_are_no_failures() {
    for argument in ["--help", "--version"] {
        let outcome = pollux(&[argument]).await;
        assert_eq!(outcome.status, Some(0), "{argument}");
        assert!(!outcome.stdout.is_empty(), "{argument}");
    }
}

#[tokio::test]
async fn a_taken_port_is_said_with_its_setting() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap();
    for (section, other) in [("gateway", "admin"), ("admin", "gateway")] {
        let ports =
            format!("{section}: {{ listen: '{taken}' }}\n{other}: {{ listen: '127.0.0.1:0' }}\n");
        let file = file(&configuration("http://127.0.0.1:1/", &ports));
        let outcome = pollux(&["run", "--config", path(&file)]).await;
        assert_eq!(outcome.status, Some(1), "{section}: {}", outcome.stderr);
        let said = outcome.stderr.lines().last().unwrap_or_default();
        assert!(said.starts_with("error: cannot listen on"), "{said}");
        assert!(said.contains(&taken.to_string()), "{said}");
        assert!(said.contains(&format!("{section}.listen")), "{said}");
    }
}
