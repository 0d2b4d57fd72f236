use std::ops::Range;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

use super::ground::Counts;

/// The number in an environment variable, if it is set.
pub(super) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text:?}")))
}

/// Lives through the seeds on all cores, and sums up what happened. Panics with the lowest seed
/// that fails among those that were tried until then.
pub(super) fn in_parallel(seeds: Range<u64>, live: impl Fn(u64) -> Counts + Sync) -> Counts {
    let (next, failed) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX));
    let counts = Mutex::new(Counts::default());
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failed.load(Ordering::Relaxed) != u64::MAX {
                        return;
                    }
                    match catch_unwind(std::panic::AssertUnwindSafe(|| live(seed))) {
                        Ok(lived) => *counts.lock() += lived,
                        Err(_) => {
                            failed.fetch_min(seed, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    assert!(
        failed == u64::MAX,
        "seed {failed} fails; to repeat it:\n    \
         POLLUX_SEED={failed} tests/run --lib simulation -- --nocapture"
    );
    counts.into_inner()
}

/// Logs what happens in this thread, stamped with the time of the paused clock.
pub(super) fn log() -> impl Drop {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_timer(Paused)
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_default(subscriber)
}

/// Milliseconds since the first line.
struct Paused;

impl FormatTime for Paused {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        write!(writer, "{:>6} ms", elapsed.as_millis())
    }
}
