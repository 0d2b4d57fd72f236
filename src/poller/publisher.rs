use std::time::Duration;

use metrics::counter;
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::fetch::Validators;
use super::outbox::{Amendment, Change, Outbox, Revision, Taken};
use super::trace::BatchTrace;
use crate::backoff::Backoff;
use crate::election::{Leadership, Refutation};
use crate::model::{Beat, EndpointName, Gone, Publication, Record, Version};
use crate::store::{Batch, BatchItem, DatedBeat, PollState, Published, Standing, Store};

/// The time from one beat to the next. A check that a beat tells of is this old at the most, which
/// leaves gateways a tenth of the second within which they promise to tell what is stale.
pub const BEAT: Duration = Duration::from_millis(900);
/// How long a beat may be on its way, in ms: about as long as the next one is not sent.
const MOST_DELAY: u64 = 1_000;
/// How long the last batch may take before the lease is given back without: a store that takes no
/// publications must not keep a leader that is to hand over.
const MOST_FAREWELL: Duration = Duration::from_secs(2);
/// The longest wait between two tries to publish the same batch.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Publishes what the outbox brings, one batch at a time, under one leadership.
pub(super) struct Publisher<'a> {
    store: &'a dyn Store,
    leadership: &'a Leadership,
    outbox: &'a Outbox,
    /// Each endpoint, and what the store holds of it.
    endpoints: Vec<(EndpointName, PollState)>,
    /// The last sequence that took effect.
    sequence: u64,
    history: u64,
    next_beat: Instant,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        leadership: &'a Leadership,
        outbox: &'a Outbox,
        endpoints: Vec<(EndpointName, PollState)>,
        history: u64,
    ) -> Self {
        let sequence = leadership.claim().sequence;
        let next_beat = Instant::now();
        Self { store, leadership, outbox, endpoints, sequence, history, next_beat }
    }

    /// Publishes until the outbox is closed and empty. The last batch always carries a beat, so
    /// that every check counts before the lease is given back.
    pub(super) async fn run(mut self) {
        loop {
            select! {
                biased;
                () = self.outbox.filled() => {}
                () = sleep_until(self.next_beat) => {}
            }
            let closed = self.outbox.is_closed();
            let mut trace = BatchTrace::default();
            let mut batch = self.compose(closed, &mut trace);
            let delivering = self.deliver(&mut batch, &mut trace);
            if !closed {
                delivering.await;
            } else if timeout(MOST_FAREWELL, delivering).await.is_err() {
                tracing::warn!("what was polled last cannot be published: handing over without");
                return;
            }
            self.sequence = batch.last();
            if closed && !self.outbox.has_changes() {
                return;
            }
        }
    }

    /// Makes a batch of what is pending, with a beat if one is due.
    fn compose(&mut self, closing: bool, trace: &mut BatchTrace) -> Batch {
        let Taken { revisions, changes, gone } = self.outbox.take();
        revisions.into_iter().for_each(|revision| self.apply(revision));
        let mut batch = Batch { after: self.sequence, history: self.history, ..Batch::default() };
        let term = self.leadership.term();
        for (endpoint, mut change) in changes {
            let version = Version::new(term, batch.last() + 1);
            if let Some((name, state)) = self.endpoints.get_mut(endpoint) {
                batch.checked.push((name.clone(), change.fetched_at));
                trace.add(std::mem::take(&mut change.trace), version);
                batch.items.push(item(name, state, version, change));
            }
        }
        for endpoint in gone {
            let version = Version::new(term, batch.last() + 1);
            batch.gone.push(Gone { endpoint, version });
        }
        let now = Instant::now();
        if closing || now >= self.next_beat {
            self.next_beat = now + BEAT;
            self.add_beat(&mut batch);
        }
        batch
    }

    fn apply(&mut self, revision: Revision) {
        match revision {
            Revision::Added(name, state) => self.endpoints.push((name, state)),
            Revision::Redirected(endpoint, request) => {
                if let Some((_, state)) = self.endpoints.get_mut(endpoint) {
                    state.request = request;
                }
            }
            Revision::History(kept) => self.history = kept,
        }
    }

    fn add_beat(&mut self, batch: &mut Batch) {
        let (unchanged, amendments) = self.outbox.take_checks();
        for (endpoint, Amendment { validators, breaker }) in amendments {
            let Some((name, state)) = self.endpoints.get_mut(endpoint) else { continue };
            if let Some(Validators { etag, last_modified }) = validators {
                (state.etag, state.last_modified) = (etag, last_modified);
            }
            if let Some(breaker) = breaker {
                (state.failures, state.retry_at) = (breaker.failures(), breaker.retry_at());
                state.rest_until = breaker.rest_until();
            }
            batch.states.push((name.clone(), state.clone()));
        }
        let checks = unchanged.iter().filter_map(|(endpoint, at)| {
            let (name, _) = self.endpoints.get(*endpoint)?;
            Some((name.clone(), *at))
        });
        let checks: Vec<_> = checks.collect();
        let checked = checks.iter().map(|(name, _)| name.clone()).collect();
        let last = Version::new(self.leadership.term(), batch.last());
        batch.beat = Some(self.dated(Beat { last, checked }));
        batch.checked.extend(checks);
    }

    /// Lets a batch take effect, however often it must be sent. If the store refuses it, the
    /// leadership is over and this never ends: whoever waits for it is dropped.
    async fn deliver(&self, batch: &mut Batch, trace: &mut BatchTrace) {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        let mut sent_before = false;
        loop {
            // Asking costs little, where sending a large batch again may take too long again.
            if sent_before && self.recorded(batch).await {
                break;
            }
            match self.store.publish(self.leadership.claim(), batch).await {
                Ok(Published::Accepted) => break,
                Ok(Published::Fenced(Some(standing)))
                    if sent_before && self.went_in(batch, &standing) =>
                {
                    break;
                }
                Ok(Published::Fenced(standing)) => {
                    let (term, by_term) = (self.leadership.term(), standing.map(|by| by.term));
                    tracing::warn!(term, by_term, "publication fenced");
                    count("fenced", batch);
                    trace.fenced();
                    return self.give_up(Refutation::Fenced).await;
                }
                Ok(Published::OtherServer) => return self.give_up(Refutation::OtherServer).await,
                Err(error) => {
                    if !sent_before {
                        tracing::warn!(%error, "cannot publish: trying on");
                    }
                    if !sent_before {
                        count("failed", batch);
                    }
                    trace.failed(&error);
                    sent_before = true;
                    // Gateways take what a beat tells for new: what waited for long is not.
                    self.forget_checks(batch);
                    sleep(backoff.wait()).await;
                }
            }
        }
        count("accepted", batch);
        trace.accepted(batch.items.len());
        if backoff.reset() {
            tracing::info!(term = self.leadership.term(), "publishing again");
        }
    }

    /// Whether the record says that a batch with publications took effect.
    async fn recorded(&self, batch: &Batch) -> bool {
        let record = self.store.observe().await.ok().and_then(|observation| observation.record);
        record.is_some_and(|Record { term, lease, sequence, .. }| {
            batch.has_versions() && self.went_in(batch, &Standing { term, lease, sequence })
        })
    }

    fn dated(&self, beat: Beat) -> DatedBeat {
        let now = self.leadership.store_time(Instant::now());
        DatedBeat { json: beat.json(), until: now + MOST_DELAY }
    }

    fn forget_checks(&self, batch: &mut Batch) {
        let last = Version::new(self.leadership.term(), batch.last());
        batch.beat = batch.beat.take().map(|_| self.dated(Beat { last, checked: Vec::new() }));
    }

    /// Whether a batch whose answer was lost took effect: then the record is where it would be.
    fn went_in(&self, batch: &Batch, standing: &Standing) -> bool {
        let claim = self.leadership.claim();
        standing.term == claim.term
            && standing.lease == claim.lease().to_string()
            && standing.sequence == batch.last()
    }

    async fn give_up(&self, refutation: Refutation) {
        self.leadership.refute(refutation);
        std::future::pending().await
    }
}

/// The publication of a change, and the state of its endpoint from then on.
fn item(name: &EndpointName, state: &mut PollState, version: Version, change: Change) -> BatchItem {
    let Change { fetched_at, content_type, body, hash, validators, breaker, .. } = change;
    *state = PollState {
        version,
        hash,
        request: std::mem::take(&mut state.request),
        etag: validators.etag,
        last_modified: validators.last_modified,
        failures: breaker.failures(),
        retry_at: breaker.retry_at(),
        rest_until: breaker.rest_until(),
    };
    BatchItem {
        publication: Publication::new(name.clone(), version, fetched_at, content_type, body),
        state: state.clone(),
    }
}

/// Counts publications by outcome. A refused beat counts as one, so that it shows.
fn count(outcome: &'static str, batch: &Batch) {
    let publications = batch.last() - batch.after;
    let count = if outcome == "accepted" { publications } else { publications.max(1) };
    counter!("pollux_publications_total", "outcome" => outcome).increment(count);
}
