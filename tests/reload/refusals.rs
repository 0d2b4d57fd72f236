use std::net::TcpListener;

use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::common::{eventually, free_port};
use crate::{DEADLINE, answers, backend, configuration, configuration_with, requests};

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_counted_and_said_until_it_is_mended() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let replica = Replica::start("castor", &configuration(&redis, &backend, &["a"])).await;
    answers(&replica.gateway, "a", 200).await;
    assert_eq!(replica.metric("pollux_config_refused", "").await, 0.0);

    let bad = configuration_with(&redis, &backend, &["a", "b"], "drian: 5s");
    replica.reconfigure(&bad);
    replica.reloaded("refused", 1).await;
    assert_eq!(replica.metric("pollux_config_refused", "").await, 1.0);
    let message = "configuration refused: the one before stays in force";
    let logged = replica.logged(message).expect("it is said");
    let error = logged["error"].as_str().expect("why");
    assert!(error.contains("did you mean `drain`?") && error.contains(":4"), "{error}");

    let refuses = |expected: bool| {
        let replica = &replica;
        async move {
            eventually(DEADLINE, "the cluster is told within ten seconds", || async {
                let report = replica.admin_json("/v1/cluster").await?;
                (report["replicas"][0]["config_refused"] == expected).then_some(())
            })
            .await;
        }
    };
    refuses(true).await;

    let polled = requests(&backend, "a");
    eventually(DEADLINE, "it polls on", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
    answers(&replica.gateway, "b", 404).await;
    assert_eq!(replica.metric("pollux_config_reloads_total", "refused").await, 1.0, "said once");

    replica.reconfigure(&bad.replace("drian", "drain"));
    answers(&replica.gateway, "b", 200).await;
    replica.reloaded("applied", 1).await;
    assert_eq!(replica.metric("pollux_config_refused", "").await, 0.0);
    refuses(false).await;
}

#[tokio::test]
async fn an_address_that_is_taken_changes_nothing_else_either() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let listen = |port: u16| format!("gateway: {{ listen: \"127.0.0.1:{port}\" }}");
    let first = configuration_with(&redis, &backend, &["a"], &listen(0));
    let replica = Replica::start_with("castor", &first, |command| {
        command.env_remove("POLLUX__GATEWAY__LISTEN");
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    replica.reconfigure(&configuration_with(&redis, &backend, &["a", "b"], &listen(port)));
    replica.reloaded("refused", 1).await;
    answers(&replica.gateway, "a", 200).await;
    answers(&replica.gateway, "b", 404).await;
    let logged = replica.logged("configuration refused: the one before stays in force");
    let error = logged.expect("it is said")["error"].to_string();
    assert!(error.contains("another program listens there"), "{error}");
}

#[tokio::test]
async fn a_running_replica_stays_in_its_cluster() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let yaml = configuration(&redis, &backend, &["a"]);
    let replica = Replica::start("castor", &yaml).await;
    answers(&replica.gateway, "a", 200).await;
    replica.reconfigure(&yaml.replace("cluster: test", "cluster: other"));
    replica.reloaded("refused", 1).await;
    let cluster = replica.admin_json("/v1/cluster").await.expect("an answer")["cluster"].clone();
    assert_eq!(cluster, "test");
}

#[tokio::test]
async fn a_port_of_its_own_is_not_taken_for_another_address() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let port = free_port();
    let listen = |ip: &str| format!("gateway: {{ listen: \"{ip}:{port}\" }}");
    let first = configuration_with(&redis, &backend, &["a"], &listen("127.0.0.1"));
    let replica = Replica::start_with("castor", &first, |command| {
        command.env_remove("POLLUX__GATEWAY__LISTEN");
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    replica.reconfigure(&configuration_with(&redis, &backend, &["a"], &listen("0.0.0.0")));
    replica.reloaded("refused", 1).await;
    let logged = replica.logged("configuration refused: the one before stays in force");
    let error = logged.expect("it is said")["error"].to_string();
    assert!(error.contains("this replica listens on port") && error.contains("restart"), "{error}");
    answers(&replica.gateway, "a", 200).await;
}
