//! When a failing endpoint is polled again: at every interval first, then less and less often.
//!
//! All functions here are pure: the caller brings the time.

use super::schedule::Schedule;

/// So many failures in a row open a breaker.
///
/// Not fewer, so that neither chance nor a restart of the backend slows an endpoint down: of a
/// backend that fails one poll in ten, only each hundred thousandth row is that long. Not more:
/// with the default `stale_after`, three intervals, readers have been told by then that the
/// snapshot is old.
const OPENS_AT: u32 = 5;
/// The most intervals from one poll of an open breaker to the next: a tenth of the load is relief
/// enough for a backend in trouble.
const MOST_INTERVALS: u64 = 10;
/// The most time between two such polls, in ms, unless the interval itself is longer: nobody waits
/// for longer than this for the data of a backend that is back.
const LONGEST_WAIT: u64 = 30_000;

/// The circuit breaker of one endpoint: how often its polls failed in a row, and when the next one
/// may be.
///
/// Closed, the endpoint is polled at every interval. Open, it is polled once every 2, 4, 8, then
/// 10 intervals, so the wait is always shorter than the polls have been failing already. Each of
/// these polls is a probe: the first that succeeds closes the breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    retry_at: Option<u64>,
}

impl Breaker {
    /// The breaker as the last leader left it.
    ///
    /// A retry time further away than this breaker would have it is brought near: the interval may
    /// have been shortened, or the store's clock turned back. It may also have been lengthened: a
    /// retry time between two slots is moved to the later.
    pub(super) fn resume(
        failures: u32,
        retry_at: Option<u64>,
        schedule: Schedule,
        now_ms: u64,
    ) -> Self {
        let latest = nth_after(schedule, now_ms, intervals(failures, schedule));
        let retry_at = retry_at.map(|at| match at > now_ms {
            true => schedule.next_after(at - 1).min(latest),
            false => at,
        });
        if failures == 0 { Self::default() } else { Self { failures, retry_at } }
    }

    /// Counts a failed poll that ended at `now_ms`. The next one is at a slot of the schedule.
    pub(super) fn failed(&mut self, schedule: Schedule, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(nth_after(schedule, now_ms, intervals(self.failures, schedule)));
    }

    /// Forgets the failures after a good poll.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The same for a successor where the host could not be reached: that may be this replica's own
    /// trouble, so the successor tries at its next slot.
    pub(super) fn to_be_tried_from_elsewhere(self) -> Self {
        Self { retry_at: None, ..self }
    }

    /// Failures in a row.
    pub(super) fn failures(self) -> u32 {
        self.failures
    }

    /// The endpoint is not polled before this time, in ms by the store's clock. `None`: the last
    /// poll was good.
    pub(super) fn retry_at(self) -> Option<u64> {
        self.retry_at
    }

    /// Whether the endpoint failed so often that it is polled less often.
    pub(super) fn is_open(self) -> bool {
        self.failures >= OPENS_AT
    }
}

/// How many intervals after a failure the endpoint is polled again.
fn intervals(failures: u32, schedule: Schedule) -> u64 {
    let doublings = failures.saturating_sub(OPENS_AT - 1).min(16);
    let longest = MOST_INTERVALS.min(LONGEST_WAIT / schedule.every());
    (1 << doublings).min(longest).max(1)
}

/// The `n`th slot after `now_ms`, from 1 on.
fn nth_after(schedule: Schedule, now_ms: u64, n: u64) -> u64 {
    schedule.next_after(now_ms).saturating_add((n - 1).saturating_mul(schedule.every()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{ClusterName, EndpointName};

    /// A time in 2026.
    const NOW: u64 = 1_795_209_600_123;

    fn schedule(every: Duration) -> Schedule {
        let (cluster, endpoint) = (ClusterName::new("tests"), EndpointName::new("prices"));
        Schedule::new(&cluster.unwrap(), &endpoint.unwrap(), every)
    }

    /// The intervals between so many polls that all fail shortly after their slots.
    fn spacing(every: Duration, polls: usize) -> Vec<u64> {
        let schedule = schedule(every);
        let mut breaker = Breaker::default();
        let mut slot = schedule.next_after(NOW);
        let mut waits = Vec::new();
        for _ in 0..polls {
            breaker.failed(schedule, slot + 1.min(schedule.every() - 1));
            let next = breaker.retry_at().unwrap();
            assert_eq!((next - slot) % schedule.every(), 0, "on the schedule's grid");
            waits.push((next - slot) / schedule.every());
            slot = next;
        }
        waits
    }

    #[test]
    fn polls_go_on_at_every_interval_until_the_fifth_failure_in_a_row() {
        assert_eq!(spacing(Duration::from_secs(1), 9), [1, 1, 1, 1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn it_is_open_from_the_fifth_failure_in_a_row_to_the_first_success() {
        let schedule = schedule(Duration::from_secs(1));
        let mut breaker = Breaker::default();
        for failures in 1..=7 {
            breaker.failed(schedule, NOW);
            assert_eq!((breaker.failures(), breaker.is_open()), (failures, failures >= 5));
        }
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
        assert!(!breaker.is_open() && breaker.retry_at().is_none());
    }

    #[test]
    fn nobody_waits_longer_than_thirty_seconds_or_one_interval() {
        assert_eq!(spacing(Duration::from_secs(5), 9)[4..], [2, 4, 6, 6, 6]);
        assert_eq!(spacing(Duration::from_secs(20), 9), [1; 9]);
        assert_eq!(spacing(Duration::from_secs(3600), 9), [1; 9]);
    }

    #[test]
    fn the_wait_is_shorter_than_the_polls_have_been_failing() {
        let waits = spacing(Duration::from_secs(1), 100);
        for open in 5..waits.len() {
            let failing: u64 = waits[..open - 1].iter().sum();
            assert!(waits[open - 1] < failing, "{} of {failing}", waits[open - 1]);
        }
    }

    #[test]
    fn a_poll_that_took_longer_than_the_interval_is_repeated_at_a_later_slot() {
        let schedule = schedule(Duration::from_secs(1));
        let slot = schedule.next_after(NOW);
        let mut breaker = Breaker::default();
        breaker.failed(schedule, slot + 2_500);
        assert_eq!(breaker.retry_at(), Some(slot + 3_000));
    }

    #[test]
    fn any_number_of_failures_is_counted() {
        let schedule = schedule(Duration::MAX);
        let mut breaker = Breaker::resume(u32::MAX, Some(u64::MAX), schedule, NOW);
        breaker.failed(schedule, u64::MAX);
        assert_eq!(breaker.failures(), u32::MAX);
    }

    #[test]
    fn a_successor_goes_on_with_what_it_finds() {
        let schedule = schedule(Duration::from_secs(1));
        let mut left = Breaker::default();
        for _ in 0..6 {
            left.failed(schedule, NOW);
        }
        let resumed = |now| Breaker::resume(left.failures(), left.retry_at(), schedule, now);
        assert_eq!(resumed(NOW + 1), left);
        assert_eq!(resumed(NOW + 60_000), left, "also once the retry time has passed");
        assert_eq!(Breaker::resume(0, None, schedule, NOW), Breaker::default());
    }

    #[test]
    fn a_retry_time_that_this_breaker_would_not_set_is_brought_near() {
        let schedule = schedule(Duration::from_secs(1));
        let far = Breaker::resume(6, Some(NOW + 3_600_000), schedule, NOW);
        assert_eq!(far.retry_at(), Some(schedule.next_after(NOW) + 3_000));
        let between = Breaker::resume(6, Some(schedule.next_after(NOW) + 1), schedule, NOW);
        assert_eq!(between.retry_at(), Some(schedule.next_after(NOW) + 1_000));
    }
}
