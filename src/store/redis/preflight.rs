//! Finds out what a server lacks, without changing anything there.

use std::collections::HashMap;
use std::sync::LazyLock;

use redis::{RedisError, Script};
use uuid::Uuid;

use super::connection::Connection;
use super::keys::Keys;
use crate::model::EndpointName;
use crate::store::examination::wall_clock;
use crate::store::{Channel, Examination, Shortcoming};

static PREFLIGHT: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("script/preflight.lua")));

/// A command with its arguments.
type Words = Vec<String>;

/// Examines the server for a replica that competes for the lease, or one that only serves.
pub(super) async fn examine(
    connection: &mut Connection,
    keys: &Keys,
    endpoint: &EndpointName,
    polls: bool,
) -> Result<Examination, RedisError> {
    let mut commands = for_gateways(keys, endpoint);
    if polls {
        commands.extend(for_pollers(keys, endpoint));
    }
    let mut script = PREFLIGHT.prepare_invoke();
    let counted = if polls { keys.alive(Uuid::nil()) } else { String::new() };
    script.key(&keys.replicas).arg(counted);
    for command in &commands {
        script.arg(command.len()).arg(command);
    }
    let (denied, counts): (Vec<usize>, bool) = script.invoke_async(&mut connection.redis).await?;
    let asked = wall_clock();
    let (seconds, micros): (u64, u64) =
        redis::cmd("TIME").query_async(&mut connection.redis).await?;
    let now = seconds * 1000 + micros / 1000;
    let clock = Shortcoming::of_clocks(now, asked, wall_clock());
    let info = info(connection).await?;

    let mut shortcomings = Vec::from_iter(clock);
    let policy = info.get("maxmemory_policy").map(String::as_str).unwrap_or_default();
    let limited = info.get("maxmemory").is_some_and(|bytes| bytes != "0");
    if limited && !matches!(policy, "" | "noeviction") {
        shortcomings.push(Shortcoming::Evicts { policy: policy.to_owned() });
    }
    if connection.run_id.is_empty() {
        shortcomings.push(Shortcoming::NoRunId);
    }
    if polls && !counts {
        shortcomings.push(Shortcoming::NoNumsub);
    }
    let denied: Vec<String> = denied
        .iter()
        .filter_map(|number| commands.get(number.checked_sub(1)?))
        .map(|words| words.iter().take(2).cloned().collect::<Vec<_>>().join(" "))
        .collect();
    if !denied.is_empty() {
        shortcomings.push(Shortcoming::NoPermission { commands: denied });
    }
    Ok(Examination { server: server(&info), now, shortcomings })
}

/// The fields of `INFO`; none where it is not allowed.
async fn info(connection: &mut Connection) -> Result<HashMap<String, String>, RedisError> {
    let mut command = redis::cmd("INFO");
    let text = match command.arg("server").arg("memory").query_async(&mut connection.redis).await {
        Err(error) if error.code() == Some("NOPERM") => String::new(),
        reply => reply?,
    };
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    Ok(text.lines().filter_map(field).collect())
}

/// Valkey says which Redis it is compatible with, and its own version beside that.
fn server(info: &HashMap<String, String>) -> String {
    let version = |field: &str, name: &str| Some(format!("{name} {}", info.get(field)?));
    version("valkey_version", "Valkey")
        .or_else(|| version("redis_version", "Redis"))
        .unwrap_or_default()
}

fn command(words: &[&str]) -> Words {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What each replica does: read, subscribe, and say that it is there.
fn for_gateways(keys: &Keys, endpoint: &EndpointName) -> Vec<Words> {
    let snapshot = keys.snapshot(endpoint);
    [
        &["EVALSHA", "", "1", &keys.replicas][..],
        &["SCRIPT", "LOAD", ""],
        &["SUBSCRIBE", &keys.updates],
        &["TIME"],
        &["PTTL", &keys.lease],
        &["HMGET", &keys.leader, ""],
        &["HGETALL", &keys.leader],
        &["HMGET", &keys.checked, ""],
        &["STRLEN", &snapshot],
        &["MGET", &snapshot],
        &["HGETALL", &keys.replicas],
        &["HSET", &keys.replicas, "", ""],
        &["HDEL", &keys.replicas, ""],
        &["XREVRANGE", &keys.timeline, "+", "-"],
    ]
    .map(command)
    .to_vec()
}

/// What a replica does beside that which competes for the lease.
fn for_pollers(keys: &Keys, endpoint: &EndpointName) -> Vec<Words> {
    let (snapshot, alive) = (keys.snapshot(endpoint), keys.channel(&Channel::Alive(Uuid::nil())));
    [
        &["SUBSCRIBE", &keys.leadership][..],
        &["SUBSCRIBE", &alive],
        &["SET", &keys.lease, "", "NX", "PX", "1"],
        &["GET", &keys.lease],
        &["PEXPIRE", &keys.lease, "1"],
        &["DEL", &keys.lease],
        &["HGET", &keys.leader, ""],
        &["HSET", &keys.leader, "", ""],
        &["XADD", &keys.timeline, "*", "", ""],
        &["XADD", &keys.history, "*", "", ""],
        &["SET", &snapshot, ""],
        &["HSET", &keys.checked, "", ""],
        &["HMGET", &keys.state, ""],
        &["HSET", &keys.state, "", ""],
        &["HKEYS", &keys.state],
        &["HDEL", &keys.state, ""],
        &["HDEL", &keys.checked, ""],
        &["PEXPIRE", &snapshot, "1"],
        &["PUBLISH", &keys.updates, ""],
        &["PUBLISH", &keys.leadership, ""],
        &["PUBLISH", &alive, ""],
    ]
    .map(command)
    .to_vec()
}
