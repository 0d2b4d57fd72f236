use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;

use crate::common::redis_server::RedisServer;
use crate::common::replica::Replica;
use crate::{answers, backend, configuration};

#[tokio::test]
async fn sighup_has_the_same_configuration_read_and_changes_nothing() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let replica = Replica::start("castor", &configuration(&redis, &backend, &["a"])).await;
    answers(&replica.gateway, "a", 200).await;
    replica.signal(Signal::HUP);
    replica.reloaded("unchanged", 1).await;
    assert_eq!(replica.metric("pollux_config_reloads_total", "applied").await, 0.0);
    assert_eq!(replica.metric("pollux_leadership_lost_total", "").await, 0.0);
}

#[tokio::test]
async fn the_name_that_a_replica_made_for_itself_stays() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let yaml = configuration(&redis, &backend, &["a"]);
    let replica = Replica::start_with("castor", &yaml, |command| {
        command.env_remove("POLLUX__REPLICA");
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    let name =
        || async { replica.admin_json("/v1/cluster").await.expect("an answer")["replica"].clone() };
    let before = name().await;
    replica.reconfigure(&configuration(&redis, &backend, &["a", "b"]));
    replica.reloaded("applied", 1).await;
    assert_eq!(name().await, before);
}

/// A Kubernetes volume is a link to a directory that is swapped: the file's own link never changes.
#[tokio::test]
async fn a_volume_whose_links_are_swapped_is_seen() {
    let (redis, backend) = (RedisServer::start().await, backend().await);
    let volume = tempfile::tempdir().expect("a directory");
    let at = |name: &str| volume.path().join(name);
    let publish = |version: &str, paths: &[&str]| {
        fs::create_dir(at(version)).expect("a directory");
        let yaml = configuration(&redis, &backend, paths);
        fs::write(at(version).join("pollux.yaml"), yaml).expect("a configuration");
        symlink(version, at("..new")).expect("a link");
        fs::rename(at("..new"), at("..data")).expect("a swapped link");
    };
    publish("..2026_11_21_1", &["a"]);
    symlink("..data/pollux.yaml", at("pollux.yaml")).expect("a link");
    let yaml = configuration(&redis, &backend, &["a"]);
    let replica = Replica::start_with("castor", &yaml, |command| {
        let program = command.get_program().to_owned();
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        *command = std::process::Command::new(program);
        command.args(["run", "--config"]).arg(at("pollux.yaml")).envs(variables);
    })
    .await;
    answers(&replica.gateway, "a", 200).await;
    publish("..2026_11_21_2", &["a", "b"]);
    answers(&replica.gateway, "b", 200).await;
}
