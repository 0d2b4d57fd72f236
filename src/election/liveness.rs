//! How a leader shows that it lives: by a subscription that ends with it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::leadership::Leadership;
use crate::store::{Channel, Store, Subscription};

/// How long a renewal waits for a lost liveness channel: nearly always it is back much sooner.
const RECONNECTION: Duration = Duration::from_millis(20);

/// The time from one try to open the channel to the next, with jitter. A standby asks twice before it
/// calls a leader dead, so a leader must be back within that time once the server can be reached.
const TRY_EVERY: Duration = Duration::from_millis(30);

/// The channel that only this replica subscribes to, by which others see that it lives.
pub(super) struct Liveness {
    store: Arc<dyn Store>,
    id: Uuid,
    open: Option<Subscription>,
    next_try: Instant,
}

impl Liveness {
    /// Prepares a fresh channel.
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, id: Uuid::new_v4(), open: None, next_try: Instant::now() }
    }

    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Waits until the channel is subscribed to; `true` if it was not before.
    ///
    /// A try that has no answer yet is not waited for: it may be lost on a network that is whole
    /// again, where the next one succeeds at once.
    pub(super) async fn open(&mut self) -> bool {
        if self.open.is_some() {
            return false;
        }
        let mut tries = FuturesUnordered::new();
        loop {
            select! {
                biased;
                Some(tried) = tries.next() => match tried {
                    Ok(subscription) => {
                        self.open = Some(subscription);
                        return true;
                    }
                    Err(error) => tracing::debug!(%error, "cannot subscribe to be seen alive"),
                },
                () = sleep_until(self.next_try) => {
                    let jitter = 0.5 + fastrand::f64() / 2.0;
                    self.next_try = Instant::now() + TRY_EVERY.mul_f64(jitter);
                    tries.push(self.store.subscribe(Channel::Alive(self.id)));
                }
            }
        }
    }

    /// Waits for the next pulse that a renewal sends through the channel. `false`: it is lost.
    pub(super) async fn pulse(&mut self) -> bool {
        let pulse = match &mut self.open {
            Some(subscription) => subscription.next().await,
            None => None,
        };
        pulse.is_some()
    }

    /// Closes the channel.
    pub(super) fn close(&mut self) {
        self.open = None;
    }
}

/// Brings the liveness channel back whenever it is lost; lets nothing start until a renewal has
/// told that the lease is still held. Never ends.
pub(super) async fn stay_alive(
    leadership: &Leadership,
    liveness: &mut Liveness,
    at_once: &Notify,
    pulses: &Pulses,
) {
    loop {
        if liveness.open().await {
            // The record names the channel again from the next renewal on.
            at_once.notify_one();
        }
        pulses.start();
        feel(liveness, pulses).await;
        tracing::debug!(term = leadership.term(), "liveness connection lost");
        liveness.close();
        leadership.doubt();
        // A connection that is back by then costs no more than the doubt; one that is not is taken
        // out of the record by that renewal, so that nobody judges by it.
        timeout(RECONNECTION, liveness.open()).await.ok();
        at_once.notify_one();
    }
}

/// Notes the pulses that the liveness channel brings, until it is lost or brings none any more.
async fn feel(liveness: &mut Liveness, pulses: &Pulses) {
    loop {
        select! {
            biased;
            felt = liveness.pulse() => if felt { pulses.felt() } else { return },
            () = pulses.missed.notified() => return,
        }
    }
}

/// Whether the liveness channel brings the pulse that each renewal sends through it.
///
/// A connection can be dead for long before either side's system notices; one that the server gives
/// up unnoticed by the leader would make the leader look dead. A `PING` would tell as much, for one
/// command more per renewal.
pub(super) struct Pulses {
    every: Duration,
    times: Mutex<PulseTimes>,
    missed: Notify,
}

struct PulseTimes {
    /// When the renewal was sent whose pulse must have arrived before the next one's.
    sent: Instant,
    /// When the last pulse arrived.
    felt: Instant,
}

impl Pulses {
    pub(super) fn new(every: Duration) -> Self {
        let now = Instant::now();
        let times = Mutex::new(PulseTimes { sent: now, felt: now });
        Self { every, times, missed: Notify::new() }
    }

    /// Notes that the channel has just been opened.
    fn start(&self) {
        let now = Instant::now();
        *self.times.lock() = PulseTimes { sent: now, felt: now };
    }

    fn felt(&self) {
        self.times.lock().felt = Instant::now();
    }

    /// Notes that a renewal was answered that was sent at `sent`. The pulse of the one before must
    /// have arrived by now, unless that was a moment ago.
    pub(super) fn expect_one(&self, sent: Instant) {
        let mut times = self.times.lock();
        if sent.saturating_duration_since(times.sent) < self.every / 2 {
            return;
        }
        if times.felt < times.sent {
            // Without effect unless somebody waits: a channel that is lost already is not missed.
            self.missed.notify_waiters();
        }
        times.sent = sent;
    }
}
