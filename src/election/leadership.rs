use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Moment};
use crate::store::{Claim, ReleaseReason};

/// The in-process proof of a term: without one nothing can be polled or published.
///
/// Only the elector makes one. It proves that the term was claimed, not that it still is in force:
/// before anything that must not happen twice, ask [`Leadership::may_act`]; what is published is
/// checked by the store in any case.
#[derive(Debug)]
pub struct Leadership {
    claim: Claim,
    clock: Clock,
    began: Instant,
    standing: watch::Sender<Standing>,
    store_time: Mutex<StoreTime>,
    winding_down: CancellationToken,
    /// Why it winds down, once it does.
    reason: OnceLock<ReleaseReason>,
}

/// How sure this leadership is of itself.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// Until when it goes on without another renewal.
    deadline: Moment,
    /// When it last lost sight of the store, until a renewal sent after that.
    doubted: Option<Moment>,
    /// Why the store no longer takes its publications.
    refuted: Option<Refutation>,
}

impl Standing {
    fn lets_act(&self, clock: Clock) -> bool {
        self.doubted.is_none() && self.refuted.is_none() && clock.now() < self.deadline
    }
}

/// What the store said against a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refutation {
    /// The record is no longer this leadership's.
    Fenced,
    /// The server's run id changed: what was claimed there is not claimed here.
    OtherServer,
}

/// The store's clock as of the last answer.
#[derive(Clone, Copy, Debug)]
struct StoreTime {
    ms: u64,
    at: Instant,
}

impl Leadership {
    pub(super) fn new(claim: Claim, clock: Clock, deadline: Moment) -> Self {
        let store_time = StoreTime { ms: claim.now, at: Instant::now() };
        let standing = Standing { deadline, doubted: None, refuted: None };
        Self {
            claim,
            clock,
            began: Instant::now(),
            standing: watch::Sender::new(standing),
            store_time: Mutex::new(store_time),
            winding_down: CancellationToken::new(),
            reason: OnceLock::new(),
        }
    }

    /// The fencing token.
    pub fn term(&self) -> u64 {
        self.claim.term
    }

    /// For how long it has been one.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// The claim that the store checks publications against.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Whether the lease is surely held now: no poll starts without.
    pub fn may_act(&self) -> bool {
        self.standing.borrow().lets_act(self.clock)
    }

    /// Asks from elsewhere for [`Leadership::may_act`], and whether the store has refuted it.
    #[cfg(test)]
    pub(crate) fn standing(&self) -> impl Fn() -> (bool, bool) + Send + Sync + use<> {
        let (standing, clock) = (self.standing.subscribe(), self.clock);
        move || {
            let standing = *standing.borrow();
            (standing.lets_act(clock), standing.refuted.is_some())
        }
    }

    /// Waits until [`Leadership::may_act`] holds, as it does again after a renewal.
    pub async fn confirmed(&self) {
        let mut changes = self.standing.subscribe();
        while !self.may_act() {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The time by the store's clock at `instant`, in ms, whatever this machine's wall clock says.
    pub fn store_time(&self, instant: Instant) -> u64 {
        let StoreTime { ms, at } = *self.store_time.lock();
        let since = u64::try_from(instant.saturating_duration_since(at).as_millis());
        let before = u64::try_from(at.saturating_duration_since(instant).as_millis());
        (ms + since.unwrap_or_default()).saturating_sub(before.unwrap_or_default())
    }

    /// Ends when the lease is about to be given back: start nothing, finish what is under way.
    pub async fn winding_down(&self) {
        self.winding_down.cancelled().await;
    }

    /// Reports what the store said against this leadership, which ends it.
    pub fn refute(&self, refutation: Refutation) {
        self.standing.send_modify(|standing| standing.refuted = Some(refutation));
    }

    pub(super) async fn refuted(&self) -> Refutation {
        let mut changes = self.standing.subscribe();
        loop {
            let refuted = changes.borrow_and_update().refuted;
            if let Some(refutation) = refuted {
                return refutation;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Begins to wind down; the first reason stays.
    pub(super) fn wind_down(&self, reason: ReleaseReason) {
        self.reason.get_or_init(|| reason);
        self.winding_down.cancel();
    }

    /// Why it winds down, or did.
    pub(super) fn reason(&self) -> Option<ReleaseReason> {
        self.reason.get().copied()
    }

    /// Notes a renewal that was sent at `sent` and answered `store_ms`.
    pub(super) fn confirm(&self, sent: Moment, confirmed_for: Duration, store_ms: u64) {
        *self.store_time.lock() = StoreTime { ms: store_ms, at: Instant::now() };
        self.standing.send_modify(|standing| {
            standing.deadline = sent.after(confirmed_for);
            standing.doubted = standing.doubted.filter(|doubted| sent < *doubted);
        });
    }

    /// Lets nothing start until a renewal that is sent from now on.
    pub(super) fn doubt(&self) {
        let now = self.clock.now();
        self.standing.send_modify(|standing| standing.doubted = Some(now));
    }

    /// Until when it goes on without another renewal.
    pub(super) fn deadline(&self) -> Moment {
        self.standing.borrow().deadline
    }

    /// Waits until the deadline has passed without a renewal.
    pub(super) async fn expired(&self) {
        loop {
            let deadline = self.deadline();
            let now = self.clock.now();
            if now >= deadline {
                return;
            }
            tokio::time::sleep(deadline.since(now)).await;
        }
    }
}
