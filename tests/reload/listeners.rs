use crate::common::client::SseClient;
use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::common::{eventually, free_port, http};
use crate::{DEADLINE, answers, backend, configuration_with};

#[tokio::test]
async fn a_gateway_moves_to_another_address_and_tells_its_clients_to_connect_again() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let configuration = |port: u16| {
        let listen = format!("gateway: {{ listen: \"127.0.0.1:{port}\" }}");
        configuration_with(&redis, &backend, &["a"], &listen)
    };
    let replica = Replica::start_with("castor", &configuration(0), |command| {
        command.env_remove("POLLUX__GATEWAY__LISTEN");
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    let port = free_port();
    let moved = format!("127.0.0.1:{port}");
    let client = SseClient::follow(vec![replica.gateway.clone(), moved.clone()], 0, &["a"]);
    eventually(DEADLINE, "it is connected", || async {
        (client.seen().connections == 1).then_some(())
    })
    .await;
    replica.reconfigure(&configuration(port));
    answers(&moved, "a", 200).await;
    eventually(DEADLINE, "it is connected again", || async {
        (client.seen().connections == 2).then_some(())
    })
    .await;
    assert_eq!(client.seen().hints_at_end, 1);
    let refused = http().get(format!("http://{}/v1/endpoints", replica.gateway)).send().await;
    assert!(refused.is_err(), "nobody listens at the old address");
    assert_eq!(replica.metric("pollux_leadership_lost_total", "").await, 0.0);
}

#[tokio::test]
async fn an_admin_server_moves_to_another_address_and_the_record_says_where() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let configuration = |port: u16| {
        let listen = format!("admin: {{ listen: \"127.0.0.1:{port}\" }}");
        configuration_with(&redis, &backend, &["a"], &listen)
    };
    let mut replica = Replica::start_with("castor", &configuration(0), |command| {
        command.env_remove("POLLUX__ADMIN__LISTEN");
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    let port = free_port();
    replica.reconfigure(&configuration(port));
    replica.admin = format!("127.0.0.1:{port}");
    let expected = format!("http://127.0.0.1:{port}");
    eventually(DEADLINE, "the leader's address is the new one", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        (report["leader"]["address"].as_str()? == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_smaller_limit_of_streams_applies_to_those_who_come() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let configuration = |streams: u32| {
        let limit = format!("gateway: {{ max_streams: {streams} }}");
        configuration_with(&redis, &backend, &["a"], &limit)
    };
    let replica = Replica::start("castor", &configuration(10)).await;
    answers(&replica.gateway, "a", 200).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a"]);
    eventually(DEADLINE, "it is connected", || async {
        (client.seen().connections == 1).then_some(())
    })
    .await;
    replica.reconfigure(&configuration(1));
    replica.reloaded("applied", 1).await;
    let stream = format!("http://{}/v1/stream?endpoint=a", replica.gateway);
    let refused = http().get(stream).send().await.expect("an answer");
    assert_eq!(refused.status(), 429);
    assert_eq!(client.seen().connections, 1, "whoever was in stays");
}
