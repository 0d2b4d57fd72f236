//! The store in the memory of one process.

#[cfg(test)]
mod faults;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use faults::Server;
use state::{BACKLOG, State};

use super::{
    ACQUISITION, Batch, Channel, Claim, ClaimRequest, Examination, LeaseValue, Observation,
    Presence, Published, Reading, ReleaseReason, Renewal, Resumed, Store, StoreError, Subscription,
    Survey,
};
use crate::model::{Announcement, EndpointName, Publication, Record};

/// A store in the memory of one process, with the semantics of Redis.
///
/// It serves a single process without redundancy, the demonstration, and tests: its time is
/// tokio's, which a test can pause. Clones share one store.
#[derive(Clone)]
pub struct EmbeddedStore {
    state: Arc<Mutex<State>>,
}

impl Default for EmbeddedStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())) }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn observe(&self) -> Result<Observation, StoreError> {
        Ok(self.state.lock().observe())
    }

    async fn acquire(&self) -> Option<LeaseValue> {
        let mut state = self.state.lock();
        let value = LeaseValue::new(
            [Uuid::new_v4(), Uuid::new_v4()]
                .iter()
                .flat_map(|id| *id.as_bytes())
                .take(20)
                .collect(),
        );
        let free = state.lease().is_none();
        free.then(|| {
            state.hold(&value, ACQUISITION);
            value
        })
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, StoreError> {
        Ok(self.state.lock().claim(request))
    }

    async fn renew(&self, claim: &Claim, alive: Uuid) -> Result<Renewal, StoreError> {
        let mut state = self.state.lock();
        if state.run_id != claim.run_id {
            return Ok(Renewal::OtherServer);
        }
        if !state.holds(&claim.lease) {
            return Ok(Renewal::Lost);
        }
        state.hold(&claim.lease, claim.duration);
        if let Some(channel) = state.alive.get(&alive) {
            channel.send(Bytes::new()).ok();
        }
        let alive = state.alive_field(alive);
        if state.is_recorded(claim)
            && let Some(record) = &mut state.record
            && record.alive != alive
        {
            record.alive = alive;
            if !record.alive.is_empty() {
                let (term, replica) = (claim.term, claim.replica.clone());
                state.announce(&Announcement::Alive { term, replica });
            }
        }
        Ok(Renewal::Held { now: state.clock.now() })
    }

    async fn release(&self, claim: &Claim, reason: ReleaseReason) -> Result<bool, StoreError> {
        Ok(self.state.lock().release(claim, reason))
    }

    async fn reap(&self, suspect: &Record) -> Result<bool, StoreError> {
        Ok(self.state.lock().reap(suspect))
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), StoreError> {
        self.state.lock().announce(announcement);
        Ok(())
    }

    async fn publish(&self, claim: &Claim, batch: &Batch) -> Result<Published, StoreError> {
        let mut state = self.state.lock();
        if state.run_id != claim.run_id {
            return Ok(Published::OtherServer);
        }
        state.publish(claim, batch)
    }

    async fn resume(&self, endpoints: &[EndpointName]) -> Result<Vec<Resumed>, StoreError> {
        let state = self.state.lock();
        let resumed = |name: &EndpointName| {
            let stored = state.endpoints.get(name)?;
            Some(Resumed {
                endpoint: name.clone(),
                state: stored.state.clone()?,
                checked_at: stored.checked_at,
            })
        };
        Ok(endpoints.iter().filter_map(resumed).collect())
    }

    async fn known(&self) -> Result<Vec<EndpointName>, StoreError> {
        let state = self.state.lock();
        let known = state.endpoints.iter().filter(|(_, stored)| stored.state.is_some());
        Ok(known.map(|(name, _)| name.clone()).collect())
    }

    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError> {
        Ok(self.state.lock().read(endpoints))
    }

    async fn subscribe(&self, channel: Channel) -> Result<Subscription, StoreError> {
        let mut state = self.state.lock();
        let receiver = match channel {
            Channel::Updates => state.updates.subscribe(),
            Channel::Leadership => state.leadership.subscribe(),
            Channel::Alive(id) => {
                state.alive.retain(|_, channel| channel.receiver_count() > 0);
                let channel = || broadcast::Sender::new(BACKLOG);
                state.alive.entry(id).or_insert_with(channel).subscribe()
            }
        };
        // A receiver that lags behind has missed messages: the subscription ends.
        let messages = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.ok().map(|message| (message, receiver))
        });
        Ok(Subscription::new(messages.boxed()))
    }

    async fn announce_presence(&self, presence: &Presence) -> Result<Vec<Presence>, StoreError> {
        let mut state = self.state.lock();
        let seen_at = state.clock.now();
        let known = Presence { seen_at, ..presence.clone() };
        state.replicas.insert(presence.replica.clone(), known);
        Ok(state.present())
    }

    async fn withdraw_presence(&self, replica: &str) -> Result<(), StoreError> {
        self.state.lock().replicas.remove(replica);
        Ok(())
    }

    async fn examine(&self, _: &EndpointName, _: bool) -> Result<Examination, StoreError> {
        Ok(Examination { now: self.state.lock().clock.now(), ..Examination::default() })
    }

    async fn history(
        &self,
        endpoint: &EndpointName,
        most: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        let state = self.state.lock();
        let kept = state.history.iter().filter(|publication| publication.endpoint == *endpoint);
        Ok(kept.take(most).cloned().collect())
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        let mut state = self.state.lock();
        Ok(Survey {
            now: state.clock.now(),
            observation: state.observe(),
            replicas: state.present(),
            timeline: state.timeline.iter().cloned().collect(),
        })
    }
}
