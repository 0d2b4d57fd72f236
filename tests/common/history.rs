//! What Redis accepted, as the history stream recorded it: the ground truth of a run.

use std::collections::HashMap;

use pollux::model::{Publication, Version};
use redis::streams::StreamRangeReply;

use super::redis_server::RedisServer;

/// Every accepted publication, in the order in which it took effect.
pub async fn history(redis: &RedisServer) -> Vec<Publication> {
    let mut connection = redis.connection().await;
    let reply: StreamRangeReply = redis::cmd("XRANGE")
        .arg("{pollux:test}:history")
        .arg(&["-", "+"])
        .query_async(&mut connection)
        .await
        .expect("the history can be read");
    let publications = reply.ids.into_iter().map(|entry| {
        let json: Vec<u8> = entry.get("publication").expect("an entry holds a publication");
        let publication = Publication::decode(json.into()).expect("of the published format");
        assert_eq!(publication.version.to_string(), entry.id, "the id is the version");
        publication
    });
    publications.collect()
}

/// Within a term the sequence starts at one and grows by one, and terms only grow.
pub fn assert_one_writer_at_a_time(history: &[Publication]) {
    let mut last = Version::NONE;
    for Publication { version, .. } in history {
        let starts = version.term > last.term && version.sequence == 1;
        assert!(version.follows(last) || starts, "{version} after {last}");
        last = *version;
    }
}

/// The terms in which anything was published.
pub fn terms(history: &[Publication]) -> HashMap<u64, usize> {
    let mut terms = HashMap::new();
    for publication in history {
        *terms.entry(publication.version.term).or_default() += 1;
    }
    terms
}
