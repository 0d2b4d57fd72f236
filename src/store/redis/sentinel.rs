//! Sentinel: it watches a master and its replicas, and says which one is the master now.

use redis::{AsyncConnectionConfig, RedisError};

use super::access::Access;
use crate::config::ServerAddress;

/// Asks one sentinel where the master is; `None`: it watches none of this name.
///
/// Sentinels mostly have no login. One that does has the user and password of the servers.
pub(super) async fn ask(
    sentinel: &ServerAddress,
    master: &str,
    access: &Access,
) -> Result<Option<ServerAddress>, RedisError> {
    match ask_as(&access.anonymous(), sentinel, master).await {
        Err(error) if error.code() == Some("NOAUTH") => ask_as(access, sentinel, master).await,
        answer => answer,
    }
}

/// <https://redis.io/docs/latest/develop/reference/sentinel-clients/>, step 2.
async fn ask_as(
    access: &Access,
    sentinel: &ServerAddress,
    master: &str,
) -> Result<Option<ServerAddress>, RedisError> {
    // The caller waits for the whole no longer than it will.
    let unhurried =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = access.client(sentinel)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&unhurried).await?;
    let answer: Option<(String, u16)> = redis::cmd("SENTINEL")
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(master)
        .query_async(&mut connection)
        .await?;
    Ok(answer.map(|(host, port)| ServerAddress { host, port }))
}
