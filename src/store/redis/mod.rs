//! The store in Redis: one Lua script per atomic step.

mod access;
mod cluster;
mod connection;
mod failure;
mod keys;
mod locate;
mod preflight;
mod reply;
mod scripts;
mod sentinel;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::ScriptInvocation;
use rslock::LockManager;
use tokio::time::timeout;
use uuid::Uuid;

use self::connection::{Connection, Link, Purpose, Server};
use self::keys::Keys;
use super::{
    ACQUISITION, Batch, Channel, Claim, ClaimRequest, Examination, LeaseValue, Observation,
    Presence, Published, Reading, ReleaseReason, Renewal, Resumed, Store, StoreError, Subscription,
    Survey, TIMELINE,
};
use crate::config::RedisConfig;
use crate::model::{Announcement, ClusterName, EndpointName, Publication, Record};

/// How many snapshots are read at once, and from how many bytes on no further one: Redis does
/// nothing else meanwhile.
const SNAPSHOTS_AT_ONCE: usize = 256;
const BYTES_AT_ONCE: usize = 4 << 20;
/// How much of the history is searched for an endpoint's publications; no further than
/// [`BYTES_AT_ONCE`] either way.
const MOST_SEARCHED: usize = 1024;
/// How many of its entries are read at once. Nobody can tell how large they are before: there are few
/// at first, and few again after large ones.
const SEARCHED_AT_ONCE: usize = 4;
/// From how many bytes on the next entries are read one by one.
const LARGE_PAGE: usize = 256 << 10;
/// What a slow network still carries in a millisecond, in bytes: large requests and replies get
/// that much longer than the configured timeout.
const BYTES_PER_MILLISECOND: usize = 1024;

/// A cluster's store in Redis.
pub struct RedisStore {
    server: Server,
    keys: Keys,
    lease: Link,
    publish: Link,
    read: Link,
    /// For people who look back: nobody else waits for what they read.
    history: Link,
}

impl RedisStore {
    /// Prepares the store; connections are opened when they are needed.
    pub fn new(cluster: &ClusterName, config: &RedisConfig) -> Self {
        let keys = Keys::new(cluster);
        let server = Server::new(config, &keys.lease);
        let link = || Link::new(server.clone());
        let (lease, publish, read, history) = (link(), link(), link(), link());
        Self { keys, lease, publish, read, history, server }
    }

    /// Runs a script on the lease's connection; answers with the server's run id as well.
    async fn run<T: redis::FromRedisValue>(
        &self,
        purpose: Purpose,
        prepare: impl FnOnce(&str) -> ScriptInvocation<'static>,
    ) -> Result<(T, Arc<str>), StoreError> {
        self.lease
            .request(purpose, self.server.timeout(), async |mut connection| {
                let script = prepare(&connection.run_id);
                let reply = script.invoke_async(&mut connection.redis).await?;
                Ok((reply, connection.run_id))
            })
            .await
    }

    /// Whether a claim was made on another server than the one that is now connected.
    ///
    /// One of the links may then still lead to the server from before, and tell so of every later
    /// claim: both are given up.
    fn finds_another_server(&self, claim: &Claim, connection: &Connection) -> bool {
        let moved = *connection.run_id != *claim.run_id;
        if moved {
            self.lease.give_up();
            self.publish.give_up();
        }
        moved
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        self.server.look_around();
        let (reply, run_id) =
            self.run::<reply::Observed>(Purpose::Probe, |_| scripts::observe(&self.keys)).await?;
        Ok(reply::observation(reply, &run_id))
    }

    async fn acquire(&self) -> Option<LeaseValue> {
        let client = self.server.client().await.ok()?;
        // A manager of its own for each try: one whose connection is blackholed never recovers.
        // One round: the elector decides when to try again.
        let mut manager = LockManager::from_clients(vec![client]);
        manager.set_retry(1, Duration::from_millis(1));
        let key = self.keys.lease.as_str();
        let limit = self.server.timeout() * 2;
        Purpose::Lease.count();
        let lock = timeout(limit, manager.lock(key, ACQUISITION)).await.ok()?.ok()?;
        Some(LeaseValue::new(lock.val))
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, StoreError> {
        let (reply, run_id) = self
            .run::<Option<(u64, u64, u64, u64, String)>>(Purpose::Lease, |run_id| {
                scripts::claim(&self.keys, request, run_id)
            })
            .await?;
        if reply.is_none() {
            // The acquisition had a connection of its own, which may have led to another server.
            self.lease.give_up();
        }
        Ok(reply.map(|(term, sequence, base, now, cause)| Claim {
            lease: request.lease.clone(),
            duration: request.duration,
            replica: request.replica.clone(),
            term,
            sequence,
            base,
            run_id: run_id.to_string(),
            now,
            cause: reply::cause(&cause),
        }))
    }

    async fn renew(&self, claim: &Claim, alive: Uuid) -> Result<Renewal, StoreError> {
        self.server.look_around();
        let script = scripts::renew(&self.keys, claim, alive);
        self.lease
            .request(Purpose::Lease, self.server.timeout(), async |mut connection| {
                if self.finds_another_server(claim, &connection) {
                    return Ok(Renewal::OtherServer);
                }
                let now: Option<u64> = script.invoke_async(&mut connection.redis).await?;
                Ok(now.map_or(Renewal::Lost, |now| Renewal::Held { now }))
            })
            .await
    }

    async fn release(&self, claim: &Claim, reason: ReleaseReason) -> Result<bool, StoreError> {
        let script = |_: &_| scripts::release(&self.keys, claim, reason);
        let (held, _) = self.run::<bool>(Purpose::Lease, script).await?;
        Ok(held)
    }

    async fn reap(&self, suspect: &Record) -> Result<bool, StoreError> {
        let Some(lease) = LeaseValue::from_hex(&suspect.lease) else {
            return Ok(false);
        };
        let script = scripts::reap(&self.keys, &lease, suspect);
        self.lease
            .request(Purpose::Probe, self.server.timeout(), async |mut connection| {
                if *connection.run_id != *suspect.run_id {
                    return Ok(false);
                }
                script.invoke_async(&mut connection.redis).await
            })
            .await
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), StoreError> {
        let message = reply::json(announcement);
        self.read
            .request(Purpose::Lease, self.server.timeout(), async |mut connection| {
                let mut command = redis::cmd("PUBLISH");
                command.arg(&self.keys.leadership).arg(message);
                command.query_async::<()>(&mut connection.redis).await
            })
            .await
    }

    async fn publish(&self, claim: &Claim, batch: &Batch) -> Result<Published, StoreError> {
        let (script, size) = scripts::publish(&self.keys, claim, batch);
        let longer = time_for(size);
        self.publish
            .request(Purpose::Publish, self.server.timeout() + longer, async |mut connection| {
                if self.finds_another_server(claim, &connection) {
                    return Ok(Published::OtherServer);
                }
                script.invoke_async(&mut connection.redis).await.map(reply::published)
            })
            .await
    }

    async fn resume(&self, endpoints: &[EndpointName]) -> Result<Vec<Resumed>, StoreError> {
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = endpoints.iter().map(EndpointName::as_str).collect();
        let mut fields = redis::pipe();
        fields.cmd("HMGET").arg(&self.keys.state).arg(&names);
        fields.cmd("HMGET").arg(&self.keys.checked).arg(&names);
        let (states, checked) = self
            .publish
            .request(Purpose::Read, self.server.timeout() * 2, async |mut connection| {
                fields.query_async(&mut connection.redis).await
            })
            .await?;
        Ok(reply::resumed(endpoints, states, checked))
    }

    async fn known(&self) -> Result<Vec<EndpointName>, StoreError> {
        let names: Vec<String> = self
            .publish
            .request(Purpose::Read, self.server.timeout() * 2, async |mut connection| {
                redis::cmd("HKEYS").arg(&self.keys.state).query_async(&mut connection.redis).await
            })
            .await?;
        Ok(names.iter().filter_map(|name| EndpointName::new(name).ok()).collect())
    }

    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError> {
        if endpoints.is_empty() {
            return Ok(Reading::default());
        }
        let names: Vec<&str> = endpoints.iter().map(EndpointName::as_str).collect();
        let mut facts = redis::pipe();
        facts.cmd("HMGET").arg(&self.keys.leader).arg(&["term", "sequence"]).cmd("TIME");
        facts.cmd("HMGET").arg(&self.keys.checked).arg(&names);
        let facts = self
            .read
            .request(Purpose::Read, self.server.timeout() * 2, async |mut connection| {
                facts.query_async(&mut connection.redis).await
            })
            .await?;
        let mut reading = reply::reading(endpoints, facts);
        let keys: Vec<String> = endpoints.iter().map(|name| self.keys.snapshot(name)).collect();
        let mut sizes = redis::pipe();
        for key in &keys {
            sizes.strlen(key);
        }
        let sizes: Vec<usize> = self
            .read
            .request(Purpose::Read, self.server.timeout() * 2, async |mut connection| {
                sizes.query_async(&mut connection.redis).await
            })
            .await?;
        for (some, size) in portions(&keys, &sizes) {
            let limit = self.server.timeout() + time_for(size);
            let snapshots = self
                .read
                .request(Purpose::Read, limit, async |mut connection| {
                    redis::cmd("MGET").arg(some).query_async(&mut connection.redis).await
                })
                .await?;
            reply::add_snapshots(&mut reading, snapshots);
        }
        Ok(reading)
    }

    async fn subscribe(&self, channel: Channel) -> Result<Subscription, StoreError> {
        let subscription = self.server.subscribe(&self.keys.channel(&channel)).await?;
        if channel == Channel::Updates {
            // What is read next must come from the server that is now listened to.
            self.read.give_up();
        }
        Ok(subscription)
    }

    async fn announce_presence(&self, presence: &Presence) -> Result<Vec<Presence>, StoreError> {
        let script = scripts::presence(&self.keys, presence);
        self.read
            .request(Purpose::Presence, self.server.timeout(), async |mut connection| {
                script.invoke_async(&mut connection.redis).await.map(reply::presences)
            })
            .await
    }

    async fn withdraw_presence(&self, replica: &str) -> Result<(), StoreError> {
        self.read
            .request(Purpose::Presence, self.server.timeout(), async |mut connection| {
                let mut command = redis::cmd("HDEL");
                command.arg(&self.keys.replicas).arg(replica);
                command.query_async::<()>(&mut connection.redis).await
            })
            .await
    }

    async fn examine(
        &self,
        endpoint: &EndpointName,
        polls: bool,
    ) -> Result<Examination, StoreError> {
        self.read
            .request(Purpose::Read, self.server.timeout(), async |mut connection| {
                preflight::examine(&mut connection, &self.keys, endpoint, polls).await
            })
            .await
    }

    async fn history(
        &self,
        endpoint: &EndpointName,
        most: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        let mut found = Vec::new();
        let (mut until, mut searched, mut bytes, mut count) = ("+".to_owned(), 0, 0, 1);
        while found.len() < most && searched < MOST_SEARCHED && bytes < BYTES_AT_ONCE {
            let mut page = redis::cmd("XREVRANGE");
            page.arg(&self.keys.history).arg(&until).arg("-").arg("COUNT").arg(count);
            let limit = self.server.timeout() + time_for(BYTES_AT_ONCE);
            let entries: Vec<reply::HistoryEntry> = self
                .history
                .request(Purpose::Read, limit, async |mut connection| {
                    page.query_async(&mut connection.redis).await
                })
                .await?;
            let Some((oldest, _)) = entries.last() else { break };
            // Those before it.
            until = format!("({oldest}");
            searched += entries.len();
            let size = entries.iter().map(reply::size).sum::<usize>();
            bytes += size;
            count = if size < LARGE_PAGE { SEARCHED_AT_ONCE.min(count * 2) } else { 1 };
            found.extend(entries.iter().filter_map(|entry| reply::published_by(endpoint, entry)));
        }
        found.truncate(most);
        Ok(found)
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let mut parts = redis::pipe();
        parts.cmd("TIME").cmd("PTTL").arg(&self.keys.lease);
        parts.hgetall(&self.keys.leader).hgetall(&self.keys.replicas);
        let timeline = &self.keys.timeline;
        parts.cmd("XREVRANGE").arg(timeline).arg("+").arg("-").arg("COUNT").arg(TIMELINE);
        let (parts, connection) = self
            .read
            .request(Purpose::Read, self.server.timeout(), async |mut connection| {
                Ok((parts.query_async(&mut connection.redis).await?, connection))
            })
            .await?;
        Ok(reply::survey(parts, &connection.run_id))
    }
}

/// What a slow network needs to carry so many bytes.
fn time_for(bytes: usize) -> Duration {
    Duration::from_millis((bytes / BYTES_PER_MILLISECOND) as u64)
}

/// Cuts `keys` into portions that are read at once, each with the bytes that it holds.
fn portions<'a>(keys: &'a [String], sizes: &[usize]) -> Vec<(&'a [String], usize)> {
    let mut portions = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, size) in sizes.iter().enumerate().take(keys.len()) {
        bytes += size;
        let full = bytes >= BYTES_AT_ONCE || at - start + 1 == SNAPSHOTS_AT_ONCE;
        if full || at + 1 == keys.len() {
            portions.push((&keys[start..=at], bytes));
            (start, bytes) = (at + 1, 0);
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read_in_portions_bounded_by_number_and_size() {
        let keys = vec![String::new(); 600];
        let mut sizes = vec![1; 600];
        sizes[10] = BYTES_AT_ONCE;
        let cut: Vec<_> = portions(&keys, &sizes).iter().map(|(keys, _)| keys.len()).collect();
        assert_eq!(cut, [11, 256, 256, 77]);
        assert!(portions(&[], &[]).is_empty());
    }
}
