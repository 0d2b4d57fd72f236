//! Redis Cluster: each key belongs to one of 16384 slots, and each slot to one master.

use redis::{AsyncConnectionConfig, RedisError, Value};

use super::access::Access;
use crate::config::ServerAddress;

/// Asks one server who owns the slot of a key; `None`: as far as it knows, nobody.
pub(super) async fn ask(
    server: &ServerAddress,
    key: &str,
    access: &Access,
) -> Result<Option<ServerAddress>, RedisError> {
    // The caller waits for the whole no longer than it will.
    let unhurried =
        AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let client = access.client(server)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&unhurried).await?;
    let mut questions = redis::pipe();
    questions.cmd("CLUSTER").arg("KEYSLOT").arg(key).cmd("CLUSTER").arg("SLOTS");
    let (slot, ranges) = questions.query_async(&mut connection).await?;
    Ok(owner(slot, ranges, server))
}

/// Finds the master of a slot in what `CLUSTER SLOTS` answers: first slot, last slot, master,
/// replicas. <https://redis.io/docs/latest/commands/cluster-slots/>
fn owner(slot: i64, ranges: Vec<Vec<Value>>, asked: &ServerAddress) -> Option<ServerAddress> {
    let range = ranges.into_iter().find(|range| {
        matches!(range[..], [Value::Int(first), Value::Int(last), ..] if (first..=last).contains(&slot))
    })?;
    let Some(Value::Array(master)) = range.into_iter().nth(2) else {
        return None;
    };
    let mut master = master.into_iter();
    let host = match master.next()? {
        Value::BulkString(host) => String::from_utf8(host).ok()?,
        Value::Nil => String::new(),
        _ => return None,
    };
    let Value::Int(port) = master.next()? else {
        return None;
    };
    at(&host, u16::try_from(port).ok()?, asked)
}

/// The server that a `MOVED` error names, if it is one that `asked` answered.
pub(super) fn moved_to(error: &RedisError, asked: &ServerAddress) -> Option<ServerAddress> {
    if error.code() != Some("MOVED") {
        return None;
    }
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    at(host, port.parse().ok()?, asked)
}

/// A server without a host is where the one that was asked is; `?`: it is not known where.
fn at(host: &str, port: u16, asked: &ServerAddress) -> Option<ServerAddress> {
    let host = match host {
        "?" => return None,
        "" => &asked.host,
        host => host,
    };
    Some(ServerAddress { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> ServerAddress {
        ServerAddress { host: "asked".to_owned(), port: 1 }
    }

    fn master(host: Value) -> Value {
        Value::Array(vec![host, Value::Int(7000), Value::BulkString(b"id".to_vec())])
    }

    fn found(slot: i64, host: Value) -> Option<String> {
        let others = master(Value::BulkString(b"other".to_vec()));
        let ranges = vec![
            vec![Value::Int(0), Value::Int(9), others.clone(), others.clone()],
            vec![Value::Int(10), Value::Int(20), master(host), others],
        ];
        owner(slot, ranges, &asked()).map(|owner| owner.to_string())
    }

    #[test]
    fn the_owner_is_the_master_of_the_range() {
        let host = || Value::BulkString(b"::1".to_vec());
        assert_eq!(found(9, host()).as_deref(), Some("other:7000"));
        assert_eq!(found(10, host()).as_deref(), Some("[::1]:7000"));
        assert_eq!(found(20, host()).as_deref(), Some("[::1]:7000"));
        assert_eq!(found(21, host()), None);
    }

    #[test]
    fn an_owner_without_a_host_is_where_the_asked_is() {
        assert_eq!(found(10, Value::Nil).as_deref(), Some("asked:7000"));
        assert_eq!(found(10, Value::BulkString(Vec::new())).as_deref(), Some("asked:7000"));
        assert_eq!(found(10, Value::BulkString(b"?".to_vec())), None);
    }

    #[test]
    fn a_moved_error_names_the_owner() {
        let moved = |reply: &str| {
            let error = redis::parse_redis_value(reply.as_bytes()).unwrap().extract_error();
            moved_to(&error.unwrap_err(), &asked()).map(|owner| owner.to_string())
        };
        assert_eq!(moved("-MOVED 3999 h:7001\r\n").as_deref(), Some("h:7001"));
        assert_eq!(moved("-MOVED 3999 ::1:7001\r\n").as_deref(), Some("[::1]:7001"));
        assert_eq!(moved("-MOVED 3999 :7001\r\n").as_deref(), Some("asked:7001"));
        assert_eq!(moved("-ASK 3999 h:7001\r\n"), None);
        assert_eq!(moved("-ERR MOVED 3999 h:7001\r\n"), None);
    }
}
