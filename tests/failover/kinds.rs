//! Whatever a server answers in the place of what was asked is counted by its kind, and the replica
//! goes on by itself when the cause is gone.

use redis::aio::MultiplexedConnection;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, REPLICAS, Settings};
use crate::common::redis_server::RedisServer;
use crate::common::{eventually, free_port};
use crate::{DEADLINE, ask, key};

async fn until_counted(cluster: &Cluster, kind: &str) {
    let label = format!("kind=\"{kind}\"");
    eventually(DEADLINE, &format!("a failure of kind {kind} is counted"), || async {
        (cluster.metric("pollux_redis_failures_total", &label).await > 0.0).then_some(())
    })
    .await;
}

async fn until_published(cluster: &Cluster, text: &str) {
    cluster.backend.say(text);
    cluster.until_published(text).await;
}

async fn tell(connection: &mut MultiplexedConnection, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async::<()>(connection).await.expect("the server obeys");
}

async fn one_replica_on(redis: RedisServer) -> Cluster {
    Cluster::on(redis, Settings::BRIEF, &REPLICAS[..1]).await
}

/// Sends what is only answered much later.
fn begin(mut connection: MultiplexedConnection, words: &[&str]) -> JoinHandle<()> {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    tokio::spawn(async move {
        command.query_async::<redis::Value>(&mut connection).await.ok();
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_can_change_under_way() {
    let redis = RedisServer::start().await;
    let mut operator = redis.connection().await;
    let cluster = one_replica_on(redis).await;
    let nowhere = free_port().to_string();
    let faults: [(&str, &[&str], &[&str]); 4] = [
        (
            "noperm",
            &["ACL", "SETUSER", "default", "-evalsha"],
            &["ACL", "SETUSER", "default", "+@all"],
        ),
        ("readonly", &["REPLICAOF", "127.0.0.1", &nowhere], &["REPLICAOF", "NO", "ONE"]),
        ("oom", &["CONFIG", "SET", "maxmemory", "1"], &["CONFIG", "SET", "maxmemory", "0"]),
        ("timeout", &["CLIENT", "PAUSE", "1000", "ALL"], &["CLIENT", "UNPAUSE"]),
    ];
    for (kind, fault, remedy) in faults {
        tell(&mut operator, fault).await;
        until_counted(&cluster, kind).await;
        tell(&mut operator, remedy).await;
        until_published(&cluster, &format!("after {kind}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password() {
    let redis = RedisServer::start().await;
    let mut operator = redis.connection().await;
    let cluster = one_replica_on(redis).await;
    tell(&mut operator, &["CONFIG", "SET", "requirepass", "new"]).await;
    // Connections that are open stay logged in.
    cluster.members[0].path.cut();
    until_counted(&cluster, "auth").await;
    tell(&mut operator, &["CONFIG", "SET", "requirepass", ""]).await;
    until_published(&cluster, "after auth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_a_script_for_long() {
    let cluster = one_replica_on(RedisServer::start().await).await;
    let mut operator = cluster.redis.connection().await;
    tell(&mut operator, &["CONFIG", "SET", "busy-reply-threshold", "1"]).await;
    let script = begin(cluster.redis.connection().await, &["EVAL", "while true do end", "0"]);
    until_counted(&cluster, "busy").await;
    tell(&mut operator, &["SCRIPT", "KILL"]).await;
    script.await.expect("the script ends");
    until_published(&cluster, "after busy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reads_its_data() {
    let redis = RedisServer::with_options(&["--enable-debug-command", "yes"]).await;
    let mut operator = redis.connection().await;
    let cluster = one_replica_on(redis).await;
    // Slow to read, and between two keys it answers others.
    tell(&mut operator, &["CONFIG", "SET", "key-load-delay", "500"]).await;
    tell(&mut operator, &["CONFIG", "SET", "loading-process-events-interval-bytes", "1024"]).await;
    tell(&mut operator, &["DEBUG", "POPULATE", "2000"]).await;
    let reloading = begin(cluster.redis.connection().await, &["DEBUG", "RELOAD"]);
    until_counted(&cluster, "loading").await;
    reloading.await.expect("the server is done");
    until_published(&cluster, "after loading").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_server_that_gives_its_slots_away() {
    let redis = RedisServer::with_options(&["--cluster-enabled", "yes"]).await;
    let mut operator = redis.connection().await;
    tell(&mut operator, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    eventually(DEADLINE, "the server serves its slots", || async {
        let info: String = ask(&redis, &["CLUSTER", "INFO"]).await;
        info.contains("cluster_state:ok").then_some(())
    })
    .await;
    let cluster = one_replica_on(redis).await;
    tell(&mut operator, &["CLUSTER", "DELSLOTSRANGE", "0", "16383"]).await;
    until_counted(&cluster, "moved").await;
    tell(&mut operator, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    until_published(&cluster, "after moved").await;
}

/// Standbys race for a lease whenever one is given back, and all but one lose.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_race_for_the_lease() {
    let names = ["castor", "pollux", "helena", "leda"];
    let cluster = Cluster::on(RedisServer::start().await, Settings::BRIEF, &names).await;
    let lost_races = async || cluster.metric("pollux_redis_failures_total", "contention").await;
    eventually(DEADLINE, "a lost race is counted", || async {
        let before = cluster.standing().await;
        let request = format!("{{\"announce\":\"step_down\",\"term\":{}}}", before.term);
        ask::<u64>(&cluster.redis, &["PUBLISH", &key("leadership"), &request]).await;
        eventually(DEADLINE, "another leads", || async {
            (cluster.standing().await.term > before.term).then_some(())
        })
        .await;
        (lost_races().await > 0.0).then_some(())
    })
    .await;
}
