//! `pollux tail` and `pollux status --watch`: what goes on until it is told to end.

use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::backend::{Backend, Reply, answer};
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::common::{eventually, free_port};
use super::{DEADLINE, configuration, json_backend, pollux};

/// The program as it runs, its output line by line.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pollux"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.lines.next_line()).await.expect("a line in time");
        line.unwrap().expect("a line")
    }

    /// The first line that has this in it.
    async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await;
            if line.contains(text) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end, without reading any further.
    async fn ended(self) -> (ExitStatus, String) {
        let Self { mut child, lines } = self;
        drop(lines);
        let status = timeout(DEADLINE, child.wait()).await.expect("it ends").unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        (status, said)
    }
}

/// A backend whose body changes with each poll.
async fn counting_backend() -> Backend {
    let count = std::sync::atomic::AtomicU64::new(0);
    Backend::listen(move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let body = format!("{{\"n\": {count}, \"same\": 1}}");
        Reply::Bytes(answer("200 OK", &[], body.as_bytes()))
    })
    .await
}

/// Waits until the gateway has a snapshot of `a`.
async fn served(replica: &Replica) {
    eventually(DEADLINE, "a snapshot", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        report["endpoints"][0]["version"].is_string().then_some(())
    })
    .await;
}

#[tokio::test]
async fn tail_shows_what_changed_and_ends_on_ctrl_c() {
    let backend = counting_backend().await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    served(&replica).await;
    let mut tail = Running::start(&["tail", "--url", &replica.gateway]);
    let first = tail.line().await;
    assert!(first.contains("\"same\""), "{first}");
    let second = tail.line().await;
    let words: Vec<&str> = second.split_whitespace().collect();
    assert_eq!(words[1], "a", "{second}");
    assert!(second.contains(" n ") && second.contains('→'), "{second}");
    assert!(!second.contains("same"), "{second}");
    assert!(!second.contains('\u{1b}'), "no colours in a pipe: {second}");
    tail.signal(Signal::INT);
    let (status, said) = tail.ended().await;
    assert_eq!((status.code(), &*said), (Some(0), ""));
}

#[tokio::test]
async fn tail_as_json_is_the_publications_byte_for_byte() {
    let body = format!("{{\"pad\" : \"{}\"}}", "x".repeat(9_000_000));
    let backend = json_backend(&body).await;
    let more = "defaults: { timeout: 5s }\n";
    let replica = Replica::start("castor", &configuration(&backend.url("/"), more)).await;
    served(&replica).await;
    let mut tail = Running::start(&["tail", "a", "--json", "--url", &replica.gateway]);
    let line = tail.line().await;
    let version = line.split('"').nth(7).unwrap();
    assert!(line.starts_with(&format!("{{\"endpoint\":\"a\",\"version\":\"{version}\"")));
    assert!(line.ends_with(&format!("\"data\":{body}}}")));
}

/// As `pollux tail | head -1` does.
#[tokio::test]
async fn tail_ends_without_a_word_once_nobody_reads_it() {
    let backend = counting_backend().await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    served(&replica).await;
    let mut tail = Running::start(&["tail", "--url", &replica.gateway]);
    tail.line().await;
    let (status, said) = tail.ended().await;
    assert_eq!((status.code(), &*said), (Some(0), ""));
}

#[tokio::test]
async fn tail_goes_on_after_the_gateway_was_away_and_tells_stale_from_fresh() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let more =
        format!("redis: {{ url: \"{}\" }}\ndefaults: {{ stale_after: 500ms }}\n", redis.url());
    let configuration = configuration(&backend.url("/"), &more);
    let listen = format!("127.0.0.1:{}", free_port());
    let gateway = async || {
        Replica::start_with("tejat", &configuration, |command| {
            command.args(["--role", "gateway"]).env("POLLUX__GATEWAY__LISTEN", &listen);
        })
        .await
    };
    let mut castor = Replica::start("castor", &configuration).await;
    let mut first = gateway().await;
    served(&first).await;
    let mut tail = Running::start(&["tail", "a", "--url", &listen]);
    assert!(tail.line().await.contains("[1]"));
    first.signal(Signal::KILL);
    first.process.ended(DEADLINE).await;
    let second = gateway().await;
    served(&second).await;
    // Nothing it has comes again: the next that it hears is that nobody polls.
    castor.signal(Signal::KILL);
    castor.process.ended(DEADLINE).await;
    let stale = tail.line().await;
    assert!(stale.contains("  stale  ") && stale.contains("no good check for"), "{stale}");
    let _castor = Replica::start("castor", &configuration).await;
    tail.line_with("  fresh  ").await;
    tail.signal(Signal::INT);
    let (status, said) = tail.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
    let said: Vec<&str> = said.lines().collect();
    assert!(said[0].ends_with("connecting again"), "{said:?}");
    assert!(said[1].starts_with("connected again to "), "{said:?}");
}

#[tokio::test]
async fn tail_names_the_endpoints_there_are_and_says_where_nobody_answers() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    let outcome = pollux(&["tail", "b", "a", "c", "--url", &replica.gateway]).await;
    assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""));
    assert_eq!(outcome.stderr, "error: there is no endpoint b, c; known here: a\n");
    let nobody = format!("127.0.0.1:{}", free_port());
    let outcome = pollux(&["tail", "--url", &nobody]).await;
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("no gateway answers at"), "{}", outcome.stderr);
    let admin = format!("http://{}/", replica.admin);
    let outcome = pollux(&["tail", "--url", &admin]).await;
    assert_eq!(outcome.status, Some(1));
    let expected =
        format!("error: {admin} looks like an admin server's address: --url names a gateway's\n");
    assert_eq!(outcome.stderr, expected);
}

/// A configuration of these endpoints.
fn of_endpoints(url: &str, more: &str, names: [&str; 2]) -> String {
    let [one, other] =
        names.map(|name| format!("  - {{ name: {name}, url: \"{url}\", every: 200ms }}\n"));
    format!("cluster: test\n{more}endpoints:\n{one}{other}")
}

#[tokio::test]
async fn tail_of_all_goes_on_with_the_endpoints_there_are_after_the_gateway_was_away() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let redis = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let listen = format!("127.0.0.1:{}", free_port());
    let start = async |names| {
        let configuration = of_endpoints(&backend.url("/"), &redis, names);
        Replica::start_with("castor", &configuration, |command| {
            command.env("POLLUX__GATEWAY__LISTEN", &listen);
        })
        .await
    };
    let mut first = start(["a", "b"]).await;
    let mut tail = Running::start(&["tail", "--json", "--url", &listen]);
    tail.line_with(r#""endpoint":"a""#).await;
    first.signal(Signal::TERM);
    first.process.ended(DEADLINE).await;
    let _second = start(["a", "c"]).await;
    tail.line_with(r#""endpoint":"c""#).await;
    tail.signal(Signal::INT);
    let (status, said) = tail.ended().await;
    assert_eq!(status.code(), Some(0), "{said}");
}

#[tokio::test]
async fn tail_of_all_takes_an_endpoint_in_that_is_added_and_repeats_nothing() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    served(&replica).await;
    let mut tail = Running::start(&["tail", "--json", "--url", &replica.gateway]);
    assert!(tail.line().await.starts_with(r#"{"endpoint":"a""#));
    replica.reconfigure(&of_endpoints(&backend.url("/"), "", ["a", "b"]));
    replica.reloaded("applied", 1).await;
    let next = tail.line().await;
    assert!(next.starts_with(r#"{"endpoint":"b""#), "{next}");
    tail.signal(Signal::INT);
    let (status, said) = tail.ended().await;
    assert_eq!((status.code(), &*said), (Some(0), ""));
}

#[tokio::test]
async fn watching_as_json_is_a_report_a_line() {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    let mut watch = Running::start(&["status", "--watch", "--json", "--url", &replica.admin]);
    for _ in 0..3 {
        let report: Value = serde_json::from_str(&watch.line().await).unwrap();
        assert_eq!(report["leader"]["replica"], "castor");
    }
    watch.signal(Signal::TERM);
    assert_eq!(watch.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn watching_in_a_pipe_prints_a_report_at_each_change_alone() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let more = format!("redis: {{ url: \"{}\" }}\n", redis.url());
    let configuration = configuration(&backend.url("/"), &more);
    let castor = Replica::start("castor", &configuration).await;
    leader(std::slice::from_ref(&castor), DEADLINE).await;
    served(&castor).await;
    let mut watch = Running::start(&["status", "--watch", "--url", &castor.admin]);
    watch.line_with("castor   leader").await;
    let _alhena = Replica::start("alhena", &configuration).await;
    watch.line_with("alhena   standby").await;
    eventually(DEADLINE, "both are heard of", || async {
        let report = castor.admin_json("/v1/cluster").await?;
        (report["replicas"].as_array()?.len() == 2).then_some(())
    })
    .await;
    assert_eq!(pollux(&["step-down", "--url", &castor.admin]).await.status, Some(0));
    watch.line_with("alhena   leader").await;
    // As many reports come by in which nothing has changed.
    let mut other = Running::start(&["status", "--watch", "--json", "--url", &castor.admin]);
    for _ in 0..5 {
        other.line().await;
    }
    watch.signal(Signal::INT);
    let mut rest = 0;
    while let Some(line) = timeout(DEADLINE, watch.lines.next_line()).await.unwrap().unwrap() {
        rest += usize::from(line.starts_with("leader "));
    }
    assert!(rest < 3, "reports without a change");
    assert_eq!(watch.ended().await.0.code(), Some(0));
}

/// Replicas before there was a stream.
#[tokio::test]
async fn a_replica_without_a_stream_is_asked_again_and_again() {
    let report = r#"{"cluster":"old","replica":"castor","store":{"kind":"redis","ok":true,"error":null},"leader":null,"term":null,"replicas":[],"timeline":[],"endpoints":null}"#;
    let backend = Backend::listen(move |head| {
        let json = [("content-type", "application/json")];
        match head.starts_with("GET /v1/cluster ") {
            true => Reply::Bytes(answer("200 OK", &json, report.as_bytes())),
            false => Reply::Bytes(answer("404 Not Found", &[], b"")),
        }
    })
    .await;
    let mut watch = Running::start(&["status", "--watch", "--json", "--url", &backend.url("/")]);
    assert_eq!(watch.line().await, report);
    assert_eq!(watch.line().await, report);
    let outcome =
        pollux(&["status", "--watch", "--url", &format!("127.0.0.1:{}", free_port())]).await;
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stderr.contains("no replica answers at"), "{}", outcome.stderr);
}
