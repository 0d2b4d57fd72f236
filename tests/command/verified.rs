//! `pollux step-down --verify`, which `helm test` runs against a Service in front of all replicas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backend::{Backend, Reply, answer};
use super::common::eventually;
use super::common::redis_server::RedisServer;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, configuration, json_backend, pollux};

/// One address that leads each connection to the next of several servers.
struct Service {
    address: String,
    _accepting: JoinSet<()>,
}

impl Service {
    async fn before(replicas: &[&Replica]) -> Self {
        let servers: Vec<String> = replicas.iter().map(|replica| replica.admin.clone()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            for server in servers.iter().cycle() {
                let Ok((mut client, _)) = listener.accept().await else { return };
                let server = server.clone();
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
            }
        });
        Self { address, _accepting: accepting }
    }
}

fn role(role: &'static str) -> impl FnOnce(&mut std::process::Command) {
    move |command| {
        command.args(["--role", role]);
    }
}

/// Waits until a replica has snapshots of all its endpoints, and has heard of `count` replicas.
async fn settled(replica: &Replica, count: usize) {
    eventually(DEADLINE, "the data are there", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        let endpoints = report["endpoints"].as_array()?;
        let fetched = endpoints.iter().all(|endpoint| endpoint["version"].is_string());
        let fresh = endpoints.iter().all(|endpoint| endpoint["stale"] == false);
        (fetched && fresh && report["replicas"].as_array()?.len() == count).then_some(())
    })
    .await;
}

fn with_redis(redis: &RedisServer, url: &str) -> String {
    configuration(url, &format!("redis: {{ url: \"{}\" }}\n", redis.url()))
}

#[tokio::test]
async fn a_handover_is_proven_through_a_service_in_front_of_every_kind_of_replica() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"));
    let pollers = [
        Replica::start_with("castor", &configuration, role("poller")).await,
        Replica::start_with("alhena", &configuration, role("all")).await,
    ];
    let gateway = Replica::start_with("tejat", &configuration, role("gateway")).await;
    let leading = leader(&pollers, DEADLINE).await;
    settled(&gateway, 3).await;
    settled(&pollers[1], 3).await;
    let service = Service::before(&[&pollers[0], &pollers[1], &gateway]).await;
    for (from, to) in [(leading, 1 - leading), (1 - leading, leading)] {
        let arguments = ["step-down", "--verify", "--timeout", "20s", "--url", &service.address];
        let outcome = pollux(&arguments).await;
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        let (from, to) = (&pollers[from].name, &pollers[to].name);
        let expected = format!("{from} handed over to {to}, ");
        assert!(outcome.stdout.starts_with(&expected), "{outcome:?}");
        let row = outcome.stdout.lines().last().unwrap();
        assert!(row.starts_with("a  ") && row.ends_with("was checked again"), "{outcome:?}");
    }
    let now_leading = leader(&pollers, DEADLINE).await;
    assert_eq!(now_leading, leading);
}

#[tokio::test]
async fn data_that_do_not_go_on_under_the_successor_are_told() {
    let redis = RedisServer::start().await;
    let works = Arc::new(AtomicBool::new(true));
    let backend = Backend::listen({
        let works = works.clone();
        move |_| match works.load(SeqCst) {
            true => Reply::Bytes(answer("200 OK", &[], b"[1]")),
            false => Reply::Bytes(answer("500 Internal Server Error", &[], b"")),
        }
    })
    .await;
    let configuration = with_redis(&redis, &backend.url("/")).replace("200ms", "3s");
    let replicas = [
        Replica::start("castor", &configuration).await,
        Replica::start("alhena", &configuration).await,
    ];
    leader(&replicas, DEADLINE).await;
    settled(&replicas[0], 2).await;
    // Right after a good poll, so that the next one is the successor's.
    eventually(DEADLINE, "a good poll", || async {
        let report = replicas[0].admin_json("/v1/cluster").await?;
        (report["endpoints"][0]["age"].as_f64()? < 0.5).then_some(())
    })
    .await;
    works.store(false, SeqCst);
    let arguments = ["step-down", "--verify", "--timeout", "7s", "--url", &replicas[0].admin];
    let outcome = pollux(&arguments).await;
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stdout.contains(" handed over to "), "{outcome:?}");
    assert!(outcome.stdout.contains("was not checked again"), "{outcome:?}");
    let expected = "error: not within 7s: a was not checked again, says castor\n";
    assert_eq!(outcome.stderr, expected);
}

#[tokio::test]
async fn what_cannot_be_verified_is_no_success() {
    let (redis, backend) = (RedisServer::start().await, json_backend("[1]").await);
    let configuration = with_redis(&redis, &backend.url("/"));
    let castor = Replica::start_with("castor", &configuration, role("poller")).await;
    leader(std::slice::from_ref(&castor), DEADLINE).await;
    let verify = async |replica: &Replica| {
        let asked = Instant::now();
        let arguments = ["step-down", "--verify", "--timeout", "1s", "--url", &replica.admin];
        let outcome = pollux(&arguments).await;
        assert_eq!((outcome.status, &*outcome.stdout), (Some(1), ""), "{outcome:?}");
        assert!(asked.elapsed().as_secs_f64() < 5.0, "{:?}", asked.elapsed());
        outcome.stderr
    };
    let said = verify(&castor).await;
    assert!(said.contains("not within 1s: castor serves no data"), "{said}");
    let gateway = Replica::start_with("tejat", &configuration, role("gateway")).await;
    settled(&gateway, 2).await;
    let said = verify(&gateway).await;
    assert!(said.contains("nobody else could lead"), "{said}");
}

#[tokio::test]
async fn a_timeout_is_a_duration_and_for_verifying_alone() {
    for arguments in [
        &["step-down", "--timeout", "1s"][..],
        &["step-down", "--verify", "--timeout", "0s"],
        &["step-down", "--verify", "--timeout", "soon"],
    ] {
        assert_eq!(pollux(arguments).await.status, Some(2), "{arguments:?}");
    }
}
