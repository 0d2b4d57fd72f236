use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::election::tests::faulty::{Fault, Method};

/// After how long a call that has no answer fails: `redis.timeout`.
pub(super) const TIMEOUT: Duration = Duration::from_millis(500);
/// The longest that a call takes to have an effect after it failed.
pub(super) const LATEST: u64 = 1_500;

/// A store that answers nobody for a while, and everybody after that.
#[derive(Clone, Default)]
pub(super) struct Stall(Arc<Mutex<Option<Instant>>>);

impl Stall {
    pub(super) fn begin(&self, length: Duration) {
        *self.0.lock() = Some(Instant::now() + length);
    }

    pub(super) fn end(&self) {
        *self.0.lock() = None;
    }

    /// What becomes of a call that is made now.
    fn fault(&self) -> Option<Fault> {
        let until = (*self.0.lock())?;
        let rest = until.saturating_duration_since(Instant::now());
        match rest {
            Duration::ZERO => None,
            rest if rest <= TIMEOUT => Some(Fault::SlowRequest(rest)),
            rest => Some(Fault::TimedOut { answer: TIMEOUT, effect: rest }),
        }
    }
}

/// Lets so many percent of all calls go wrong, whatever the stall does.
pub(super) fn weather(
    percent: u8,
    stall: Stall,
    mut rng: Rng,
) -> impl FnMut(Method, usize) -> Option<Fault> + Send + 'static {
    move |_, _| {
        stall.fault().or_else(|| {
            if rng.u8(0..100) < percent { Some(fault(&mut rng)) } else { latency(&mut rng) }
        })
    }
}

/// Nothing arrives.
pub(super) fn partition(
    mut rng: Rng,
) -> impl FnMut(Method, usize) -> Option<Fault> + Send + 'static {
    let refused = rng.bool();
    move |_, _| {
        let after = if refused { Duration::ZERO } else { TIMEOUT };
        Some(Fault::RequestLost(after.mul_f64(0.9 + rng.f64() / 10.0)))
    }
}

/// Connections are lost for so long, some before the request and some after it; then all is well.
pub(super) fn outage(
    length: Duration,
    stall: Stall,
    mut rng: Rng,
) -> impl FnMut(Method, usize) -> Option<Fault> + Send + 'static {
    let until = Instant::now() + length;
    let mut after = weather(0, stall, rng.fork());
    move |method, number| {
        let lost = if rng.bool() { Fault::RequestLost } else { Fault::ReplyLost };
        let fails = Instant::now() < until;
        if fails { Some(lost(Duration::ZERO)) } else { after(method, number) }
    }
}

/// What a network takes on which all is well: a millisecond there or back, or next to nothing.
fn latency(rng: &mut Rng) -> Option<Fault> {
    let short = Duration::from_millis(1);
    match rng.u8(0..4) {
        0 => Some(Fault::SlowRequest(short)),
        1 | 2 => Some(Fault::SlowReply(short)),
        _ => None,
    }
}

fn fault(rng: &mut Rng) -> Fault {
    let after = Duration::from_millis(if rng.bool() { rng.u64(0..40) } else { rng.u64(0..500) });
    match rng.u8(0..6) {
        0 => Fault::RequestLost(after),
        1 => Fault::ReplyLost(after),
        2 => Fault::SlowRequest(after),
        3 => Fault::SlowReply(after),
        4 => Fault::Late(after),
        _ => Fault::TimedOut { answer: TIMEOUT, effect: Duration::from_millis(rng.u64(0..LATEST)) },
    }
}
