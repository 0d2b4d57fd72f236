//! The clock that deadlines are counted on.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that never goes back. Which one depends on what keeps the lease.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// For a lease in Redis, which goes on while this machine is suspended: `CLOCK_BOOTTIME`,
    /// which does so too; the monotonic clock where a system has none.
    Boot,
    /// For a lease in this process: tokio's own clock, by which the embedded store ends it.
    Process,
}

/// A point in time on a [`Clock`], as the time since some fixed start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Clock {
    /// The present.
    pub fn now(self) -> Moment {
        match self {
            Self::Boot => Moment(boot_time()),
            Self::Process => Moment(start().elapsed()),
        }
    }
}

impl Moment {
    /// The moment `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long it is from `earlier` to here; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Something fixed to count tokio's time from: its `Instant` has no origin of its own.
fn start() -> Instant {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    Instant::from_std(*START.get_or_init(|| {
        // Long ago, so that a paused clock that started earlier than this call is not before it.
        let now = std::time::Instant::now();
        now.checked_sub(Duration::from_secs(3600)).unwrap_or(now)
    }))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_time() -> Duration {
    start().into_std().elapsed()
}
