use std::fs;

use crate::common::client::SseClient;
use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::common::{eventually, http};
use crate::{DEADLINE, answers, backend, configuration_with, requests};

#[tokio::test]
async fn a_rotated_admin_token_counts_and_the_old_one_does_not() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    fs::write(&token, "the-first-token\n").expect("a token");
    let more = format!("admin: {{ token: \"${{file:{}}}\" }}", token.display());
    let yaml = configuration_with(&redis, &backend, &["a"], &more);
    let replica = Replica::start("castor", &yaml).await;
    answers(&replica.gateway, "a", 200).await;
    let status = |token: &'static str| {
        let url = format!("http://{}/v1/step-down", replica.admin);
        async move { http().post(url).bearer_auth(token).send().await.ok().map(|r| r.status().as_u16()) }
    };
    // Nobody else could lead; but whoever is asked first wants the token.
    assert_eq!(status("the-first-token").await, Some(409));
    fs::write(&token, "the-second-token\n").expect("a token");
    eventually(DEADLINE, "the new token counts", || async {
        (status("the-second-token").await == Some(409)).then_some(())
    })
    .await;
    assert_eq!(status("the-first-token").await, Some(401));
    assert_eq!(replica.metric("pollux_leadership_lost_total", "").await, 0.0);
}

#[tokio::test]
async fn a_rotated_password_of_redis_is_followed_and_the_streams_go_on() {
    let redis =
        RedisServer::with_options(&["--user", "app", "on", ">first", "~*", "&*", "+@all"]).await;
    let backend = backend().await;
    let directory = tempfile::tempdir().expect("a directory");
    let password = directory.path().join("password");
    fs::write(&password, "first").expect("a password");
    let yaml = format!(
        "cluster: test\n\
         redis: {{ url: \"{}\", username: app, password: \"${{file:{}}}\" }}\n\
         endpoints:\n  - {{ name: a, url: \"{}\", every: 200ms }}\n",
        redis.url(),
        password.display(),
        backend.url("/a")
    );
    let replica = Replica::start("castor", &yaml).await;
    answers(&replica.gateway, "a", 200).await;
    let client = SseClient::follow(vec![replica.gateway.clone()], 0, &["a"]);
    fs::write(&password, "second").expect("a password");
    let mut connection = redis.connection().await;
    let set: redis::RedisResult<()> = redis::cmd("ACL")
        .arg(&["SETUSER", "app", "resetpass", ">second"])
        .query_async(&mut connection)
        .await;
    set.expect("the user is changed");
    let killed: redis::RedisResult<u64> =
        redis::cmd("CLIENT").arg(&["KILL", "USER", "app"]).query_async(&mut connection).await;
    assert!(killed.expect("its connections are cut") > 0);
    replica.reloaded("applied", 1).await;
    let polled = requests(&backend, "a");
    eventually(DEADLINE, "it leads and polls again", || async {
        (requests(&backend, "a") > polled + 3).then_some(())
    })
    .await;
    assert_eq!(client.seen().connections, 1);
    eventually(DEADLINE, "what it serves is fresh", || async {
        let report = replica.admin_json("/v1/cluster").await?;
        (report["store"]["ok"] == true && report["endpoints"][0]["stale"] == false).then_some(())
    })
    .await;
}
