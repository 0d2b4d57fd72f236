//! Events per second, from a count that only grows.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Long enough to count the slowest endpoint's polls, short enough to follow a takeover.
const WINDOW: Duration = Duration::from_secs(4);

/// A rate over the last few seconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    /// Counts and when they were taken, the oldest first; all but the first within the window.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Notes the count at a moment; returns the rate per second up to there.
    pub(super) fn note(&mut self, now: Instant, count: u64) -> f64 {
        self.samples.push_back((now, count));
        while self.samples.get(1).is_some_and(|(second, _)| now - *second >= WINDOW) {
            self.samples.pop_front();
        }
        let Some((since, from)) = self.samples.front() else {
            return 0.0;
        };
        let seconds = (now - *since).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(*from) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_the_window_alone() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        assert_eq!(rate.note(at(0), 100), 0.0);
        assert_eq!(rate.note(at(2), 104), 2.0);
        assert_eq!(rate.note(at(4), 112), 3.0);
        assert_eq!(rate.note(at(6), 112), 2.0);
        assert_eq!(rate.note(at(10), 112), 0.0);
    }
}
