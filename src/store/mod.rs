//! What replicas and gateways share: the lease, the record, the snapshots and the channels.
//!
//! [`Store`] is implemented by Redis and by an embedded store in memory. Every method is one
//! atomic step of the store, bounded in time, and safe to repeat after an error: an error means
//! that the result is unknown, unless it says otherwise.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::model::{Announcement, EndpointName, Publication, Record, Version};

mod batch;
mod cause;
mod embedded;
mod examination;
mod failure;
mod redis;
mod survey;

pub use batch::{Batch, BatchItem, DatedBeat};
pub use cause::{Cause, ReleaseReason};
pub use embedded::EmbeddedStore;
#[cfg(test)]
pub(crate) use embedded::Server;
pub use examination::{Examination, Shortcoming};
pub use failure::{FailureKind, StoreError};
pub use redis::RedisStore;
pub use survey::{Hosts, Presence, Survey, TimelineEntry};

/// How many changes of leadership the timeline keeps, at least.
const TIMELINE: usize = 100;
/// How often a replica says that it is there.
pub const PRESENCE_EVERY: Duration = Duration::from_secs(10);
/// How long after its last word a replica counts as gone.
const PRESENCE_EXPIRY: Duration = Duration::from_secs(30);

/// How long the snapshot of an endpoint that is no longer polled is kept.
const GONE_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an acquired lease lasts until it is claimed, which extends it to its full duration.
pub const ACQUISITION: Duration = Duration::from_secs(1);

/// The lease, the record, the snapshots and the channels of one cluster.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads who holds the lease, for how long still, and whether the leader still lives.
    ///
    /// # Errors
    /// Also when the lease is free and the store would let nobody take it: it is full, or read-only.
    async fn observe(&self) -> Result<Observation, StoreError>;

    /// Tries once to take a free lease for [`ACQUISITION`]. `None`: somebody else has it, or the
    /// store did not answer; [`Store::observe`] tells which.
    async fn acquire(&self) -> Option<LeaseValue>;

    /// Extends an acquired lease to its full duration and writes the claim into the record.
    ///
    /// The same lease on the same server gets the same term again, so a claim whose answer was
    /// lost can be repeated. `None`: the lease is no longer this one.
    async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, StoreError>;

    /// Extends the claimed lease to its full duration, if it is still this one, sends a pulse
    /// through the liveness channel `alive`, and notes in the record whether anybody heard it.
    async fn renew(&self, claim: &Claim, alive: uuid::Uuid) -> Result<Renewal, StoreError>;

    /// Gives the lease back, notes why, and announces it. `false`: it was no longer this one.
    async fn release(&self, claim: &Claim, reason: ReleaseReason) -> Result<bool, StoreError>;

    /// Takes the lease away from a dead leader, notes that, and announces it, if the record is still exactly
    /// `suspect`, the lease is that record's, and still nobody subscribes to its liveness channel.
    async fn reap(&self, suspect: &Record) -> Result<bool, StoreError>;

    /// Tells everybody something that is no news of the record, such as a request to step down.
    /// Whoever is meant may not hear it.
    async fn announce(&self, announcement: &Announcement) -> Result<(), StoreError>;

    /// Lets a batch take effect, wholly or not at all, if the record is exactly as this claim left
    /// it at `batch.after`.
    async fn publish(&self, claim: &Claim, batch: &Batch) -> Result<Published, StoreError>;

    /// What the last leader left for a warm start, for those of `endpoints` that have any.
    async fn resume(&self, endpoints: &[EndpointName]) -> Result<Vec<Resumed>, StoreError>;

    /// The endpoints that were published and are not gone, whoever published them.
    async fn known(&self) -> Result<Vec<EndpointName>, StoreError>;

    /// The record's version, and then the newest snapshots and checks of `endpoints`.
    ///
    /// The snapshots are read after the version: they may be newer than it, never older.
    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError>;

    /// Subscribes to a channel. Nothing published after the return is missed, until the
    /// subscription ends.
    async fn subscribe(&self, channel: Channel) -> Result<Subscription, StoreError>;

    /// Notes that a replica is there; all that were heard of within 30 seconds, by name. Its own
    /// `seen_at` among them is the time by the store's clock.
    async fn announce_presence(&self, presence: &Presence) -> Result<Vec<Presence>, StoreError>;

    /// Notes that a replica has left.
    async fn withdraw_presence(&self, replica: &str) -> Result<(), StoreError>;

    /// Finds out what the store lacks for a replica that serves `endpoint`, and `polls` it or not.
    async fn examine(
        &self,
        endpoint: &EndpointName,
        polls: bool,
    ) -> Result<Examination, StoreError>;

    /// The newest publications of an endpoint that the history still holds, the newest first; `most`
    /// of them at most. Only its newest part is searched: one that is followed by many, or by large
    /// ones, is not found.
    async fn history(
        &self,
        endpoint: &EndpointName,
        most: usize,
    ) -> Result<Vec<Publication>, StoreError>;

    /// Reads what there is to know about the cluster.
    async fn survey(&self) -> Result<Survey, StoreError>;
}

/// The random value that makes one acquisition of the lease different from all others.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseValue(Vec<u8>);

impl LeaseValue {
    pub(in crate::store) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(in crate::store) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what stands in a record; `None` where it is no lease.
    pub(in crate::store) fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        digits.map(byte).collect::<Option<_>>().map(Self)
    }
}

/// In hex, as it stands in the record.
impl std::fmt::Display for LeaseValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl std::fmt::Debug for LeaseValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, formatter)
    }
}

/// Who holds the lease, as the store sees it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// How long the lease is still held; `None` when it is free.
    pub held_for: Option<Duration>,
    /// The last claim; `None` when there never was one, or the store lost it.
    pub record: Option<Record>,
    /// The run id of the server that answered; empty where it cannot be read.
    pub run_id: String,
    /// Whether the leader still lives.
    pub pulse: Pulse,
}

/// What the subscribers of the liveness channel tell of the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// Nothing: the record names no channel, the lease or the server is not the record's, or the
    /// server cannot count subscribers.
    Unknown,
    /// It is subscribed to its channel. A frozen leader is so too.
    Felt,
    /// Nobody subscribes to its channel: its process has ended, or its connection.
    None,
}

/// What a replica writes into the record when it claims.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The acquired lease.
    pub lease: LeaseValue,
    /// The lease's full duration.
    pub duration: Duration,
    /// The claimed term exceeds this one: the highest the replica has seen.
    pub seen: u64,
    /// Names the liveness channel that the replica subscribes to.
    pub alive: uuid::Uuid,
    /// The replica's name.
    pub replica: String,
    /// Its admin address.
    pub address: String,
    /// How long nobody had led when the replica acquired the lease, as far as it saw.
    pub gap: Duration,
    /// Whether a lease that a server with another run id does not know may be put back: only its
    /// holder may ask for that.
    pub reinstate: bool,
}

/// A claim that took effect. Only a store makes one, and publishing needs one.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub struct Claim {
    pub(in crate::store) lease: LeaseValue,
    pub(in crate::store) duration: Duration,
    pub(in crate::store) replica: String,
    /// The term: the fencing token.
    pub term: u64,
    /// The last sequence that took effect in this term: above 0 only for a repeated claim.
    pub sequence: u64,
    /// The first term claimed on this server's run id.
    pub base: u64,
    /// The run id of the server; empty where it cannot be read.
    pub run_id: String,
    /// The time by the store's clock, in ms.
    pub now: u64,
    /// Why this leadership began.
    pub cause: Cause,
}

impl Claim {
    /// The lease it was made with.
    pub fn lease(&self) -> &LeaseValue {
        &self.lease
    }
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The lease is held for another full duration.
    Held {
        /// The time by the store's clock, in ms.
        now: u64,
    },
    /// The lease is another's, or nobody's.
    Lost,
    /// The server is not the one that was claimed on: its run id differs. Nothing was sent.
    OtherServer,
}

/// What a leader must know of an endpoint to go on where the last one ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollState {
    /// The version of the snapshot.
    pub version: Version,
    /// The hash of the snapshot's body and content type.
    pub hash: String,
    /// What tells the request that was answered with it from others; empty where that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The validator for `If-None-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The validator for `If-Modified-Since`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Failed polls in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// After a failed poll, when the next one is due, in ms by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<u64>,
    /// Until when the backend asked not to be polled, in ms by the store's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest_until: Option<u64>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What the last leader left of one endpoint.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Its state.
    pub state: PollState,
    /// When it was last checked with success, in ms by the store's clock.
    pub checked_at: Option<u64>,
}

/// The answer to a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// The batch took effect.
    Accepted,
    /// It did not: the record is not as expected.
    Fenced(Option<Standing>),
    /// The server is not the one that was claimed on: its run id differs. Nothing was sent.
    OtherServer,
}

/// How far the record got: what a fenced publication found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The record's term.
    pub term: u64,
    /// The record's lease, in hex.
    pub lease: String,
    /// The record's sequence.
    pub sequence: u64,
}

/// Snapshots, with what is needed to age them.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The record's version, read before the snapshots.
    pub version: Version,
    /// The newest publications, in no order.
    pub snapshots: Vec<Publication>,
    /// How old the last good check of each endpoint was when this was read.
    pub ages: Vec<(EndpointName, Duration)>,
}

/// A channel of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Publications and beats.
    Updates,
    /// Claims and releases.
    Leadership,
    /// The liveness channel of one leader, by the uuid that ends its name.
    Alive(uuid::Uuid),
}

/// Messages of a channel, in the order of their publication.
pub struct Subscription {
    messages: BoxStream<'static, Bytes>,
}

impl Subscription {
    pub(crate) fn new(messages: BoxStream<'static, Bytes>) -> Self {
        Self { messages }
    }

    /// The next message. `None`: the subscription has ended, and messages may have been missed.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.messages.next().await
    }
}
