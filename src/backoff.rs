//! Waiting between tries of something that fails.

use std::time::Duration;

/// The wait after the second failure in a row; it doubles with each one more.
const FIRST: Duration = Duration::from_millis(50);

/// Waits that grow, with jitter so that many replicas do not try in step.
///
/// The first try after a failure comes at once: most broken connections are good again by then.
#[derive(Clone, Debug)]
pub struct Backoff {
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits up to `longest`.
    pub fn up_to(longest: Duration) -> Self {
        Self { longest, failures: 0 }
    }

    /// How long to wait after one more failure.
    pub fn wait(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let ceiling = (FIRST * 2_u32.pow(doublings)).min(self.longest);
        self.failures += 1;
        if self.failures == 1 {
            return Duration::ZERO;
        }
        ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Forgets the failures after a success; `true` if there were any.
    pub fn reset(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retry_is_at_once_and_later_ones_wait_longer_up_to_the_limit() {
        let longest = Duration::from_secs(1);
        let mut backoff = Backoff::up_to(longest);
        assert_eq!(backoff.wait(), Duration::ZERO);
        assert!((FIRST / 2..=FIRST).contains(&backoff.wait()));
        let later: Vec<Duration> = (0..100).map(|_| backoff.wait()).collect();
        assert!(later.iter().all(|wait| *wait <= longest));
        assert!(later[20..].iter().all(|wait| *wait >= longest / 2));
    }
}
