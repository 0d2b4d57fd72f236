//! Reading the history, which may be large.

use pollux::model::Version;
use pollux::store::{Batch, Store as _};

use super::ask;
use crate::common::redis_server::RedisServer;
use crate::setup::{batch, item, lead, name, publish, store_on};

/// How many bytes the server has sent.
async fn sent(server: &RedisServer) -> u64 {
    let stats: String = ask(server, &["INFO", "stats"]).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn of_a_history_of_large_bodies_little_is_read() {
    const LARGE: usize = 2 << 20;
    let server = RedisServer::start().await;
    let store = store_on(&server);
    let claim = lead(&store).await;
    let body = format!("\"{}\"", "x".repeat(LARGE));
    for after in 0..20 {
        let version = Version::new(claim.term, after + 1);
        let items = vec![item("large", version, &body)];
        publish(&store, &claim, &Batch { after, items, history: 1000, ..Batch::default() }).await;
    }
    let before = sent(&server).await;
    assert_eq!(store.history(&name("large"), 2).await.unwrap().len(), 2);
    let two = sent(&server).await - before;
    assert!(two < 3 * LARGE as u64, "{two} bytes for two bodies");

    let before = sent(&server).await;
    assert!(store.history(&name("other"), 2).await.unwrap().is_empty());
    let all = sent(&server).await - before;
    assert!(all < 4 * LARGE as u64, "{all} bytes for none");

    // After small ones several are read at once.
    publish(&store, &claim, &batch(&claim, 20, &["a"; 7])).await;
    let before = sent(&server).await;
    assert!(store.history(&name("other"), 2).await.unwrap().is_empty());
    let all = sent(&server).await - before;
    assert!(all < 6 * LARGE as u64, "{all} bytes for none after small ones");
}
