//! `pollux health`, `pollux completions` and `pollux schema`: what other programs run.

use serde_json::Value;
use tokio::time::Instant;

use super::backend::{Backend, Reply, answer};
use super::common::free_port;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, Outcome, command, configuration, file, json_backend, outcome, path, pollux};

#[tokio::test]
async fn a_replica_that_works_is_healthy_and_ready_without_a_word() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let port = replica.admin.rsplit(':').next().unwrap();
    let everywhere = file(&configuration(
        &backend.url("/"),
        &format!("admin: {{ listen: '0.0.0.0:{port}' }}\n"),
    ));
    for address in [["--url", &replica.admin], ["--config", path(&everywhere)]] {
        for more in [&[][..], &["--ready"]] {
            let arguments = [&["health"], &address[..], more].concat();
            let outcome = pollux(&arguments).await;
            let said = (outcome.status, &*outcome.stdout, &*outcome.stderr);
            assert_eq!(said, (Some(0), "", ""), "{arguments:?}");
        }
    }
}

#[tokio::test]
async fn a_replica_that_is_not_ready_says_why_in_one_line() {
    let redis = format!("redis: {{ url: \"redis://127.0.0.1:{}\" }}\n", free_port());
    let replica = Replica::start("castor", &configuration("http://127.0.0.1:1/", &redis)).await;
    let healthy = pollux(&["health", "--url", &replica.admin]).await;
    assert_eq!(healthy.status, Some(0), "{}", healthy.stderr);
    let outcome = pollux(&["health", "--ready", "--url", &replica.admin]).await;
    assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
    let said = outcome.stderr;
    let expected = format!("error: http://{}/readyz: 503 Service Unavailable: ", replica.admin);
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("the store has not answered since the start"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[tokio::test]
async fn whatever_else_answers_or_does_not_is_unhealthy_within_two_seconds() {
    let silent = Backend::start(Reply::BytesThenHang(Vec::new())).await;
    let endless = Backend::start(Reply::BytesThenHang(b"HTTP/1.1 500 \r\n\r\nx".to_vec())).await;
    let other = Backend::start(Reply::Bytes(answer("404 Not Found", &[], b"<html>\n"))).await;
    let nobody = format!("127.0.0.1:{}", free_port());
    for url in [silent.url("/"), endless.url("/"), other.url("/"), nobody] {
        let asked = Instant::now();
        let outcome = pollux(&["health", "--url", &url]).await;
        assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""), "{url}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(asked.elapsed().as_secs_f64() < 3.0, "{:?}", asked.elapsed());
    }
}

/// The replica may go on with an older configuration: a probe must not end it for the new one.
#[tokio::test]
async fn a_refused_configuration_is_noted_and_the_replica_is_asked_all_the_same() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let listen = format!("admin: {{ listen: '{}' }}\n", replica.admin);
    let refused = file(&format!("cluster: C\ndrain: soon\n{listen}"));
    let unreadable = file("{");
    for (file, variable) in [(&refused, None), (&unreadable, Some(&*replica.admin))] {
        let outcome = health(path(file), variable).await;
        assert_eq!((outcome.status, &*outcome.stdout), (Some(0), ""), "{outcome:?}");
        let expected = format!(
            "note: {} is refused (see pollux check): asking http://{}/\n",
            path(file),
            replica.admin
        );
        assert_eq!(outcome.stderr, expected);
    }
}

#[tokio::test]
async fn where_a_refused_configuration_names_nobody_the_replica_is_unhealthy() {
    let gone = format!("127.0.0.1:{}", free_port());
    let refused = file("cluster: C\n");
    let outcome = health(path(&refused), Some(&gone)).await;
    assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
    let lines: Vec<&str> = outcome.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:?}");
    assert!(lines[0].ends_with(&format!("asking http://{gone}/")), "{outcome:?}");
    assert!(lines[1].starts_with(&format!("error: http://{gone}/livez: ")), "{outcome:?}");
    // Whoever answers at the default address, it is asked.
    let outcome = health(path(&refused), None).await;
    assert!(outcome.stderr.contains("asking http://127.0.0.1:9090/\n"), "{outcome:?}");
}

/// `pollux health` by a configuration file, and `POLLUX__ADMIN__LISTEN`.
async fn health(file: &str, listen: Option<&str>) -> Outcome {
    let mut command = command(&["health", "--config", file]);
    if let Some(listen) = listen {
        command.env("POLLUX__ADMIN__LISTEN", listen);
    }
    outcome(command).await
}

#[tokio::test]
async fn every_shell_gets_completions_that_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let outcome = pollux(&["completions", shell]).await;
        assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
        for word in ["pollux", "step-down", "completions", "config"] {
            assert!(outcome.stdout.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(pollux(&["completions", "dos"]).await.status, Some(2));
}

#[tokio::test]
async fn the_schema_is_json_that_knows_the_settings() {
    let outcome = pollux(&["schema"]).await;
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    let schema: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(schema["properties"]["drain"]["default"], "20s");
}
