//! What only a real Redis server can show: its keys, its failures, its restarts.

mod cluster;
mod connections;
mod failures;
mod keys;
mod liveness;
mod looking_back;
mod replay;
mod restarts;
mod scale;
mod sentinel;
mod tls;

use redis::FromRedisValue;

use super::common::redis_server::RedisServer;

/// Asks the server itself, past the store.
async fn ask<T: FromRedisValue>(server: &RedisServer, words: &[&str]) -> T {
    let mut connection = server.connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]).query_async(&mut connection).await.unwrap()
}

/// A key of the cluster `test`.
fn key(name: &str) -> String {
    format!("{{pollux:test}}:{name}")
}

/// All that the server holds, as it can be restored: equal if nothing has been touched.
async fn contents(server: &RedisServer) -> Vec<(String, Vec<u8>)> {
    let mut keys: Vec<String> = ask(server, &["KEYS", "*"]).await;
    keys.sort();
    let mut contents = Vec::new();
    for key in keys {
        let dump: Vec<u8> = ask(server, &["DUMP", &key]).await;
        contents.push((key, dump));
    }
    contents
}
