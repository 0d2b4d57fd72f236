//! When a failing endpoint is polled again: at every interval first, then less and less often.
//!
//! All functions here are pure: the caller brings the time.

use std::time::Duration;

use super::retry_after;
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
///
/// A backend that asks for rest opens it for so long, however few the failures are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Breaker {
    failures: u32,
    retry_at: Option<u64>,
    rest_until: Option<u64>,
    /// Whether the next poll is later for that rest alone.
    resting: bool,
}

impl Breaker {
    /// The breaker as the last leader left it.
    ///
    /// A retry time further away than this breaker would have it is brought near: the interval may
    /// have been shortened, or the store's clock turned back. It may also have been lengthened: a
    /// retry time between two slots is moved to the later. A rest is left as it was asked for, and
    /// only brought as near as the longest one that is granted.
    pub(super) fn resume(
        failures: u32,
        retry_at: Option<u64>,
        rest_until: Option<u64>,
        schedule: Schedule,
        now_ms: u64,
    ) -> Self {
        if failures == 0 {
            return Self::default();
        }
        let latest = nth_after(schedule, now_ms, intervals(failures, schedule));
        let retry_at = retry_at.map(|at| match at > now_ms {
            true => schedule.next_after(at - 1).min(latest),
            false => at,
        });
        let rest_until = rest_until.filter(|until| *until > now_ms);
        let rest_until = rest_until.map(|until| until.min(rested(retry_after::LONGEST, now_ms)));
        Self::new(failures, retry_at, rest_until, schedule)
    }

    /// The same under another schedule of the same endpoint.
    pub(super) fn rescheduled(self, schedule: Schedule, now_ms: u64) -> Self {
        Self::resume(self.failures, self.retry_at, self.rest_until, schedule, now_ms)
    }

    /// Counts a failed poll that ended at `now_ms`, and whose answer may have asked for rest. The
    /// next one is at a slot of the schedule.
    pub(super) fn failed(&mut self, rest: Option<Duration>, schedule: Schedule, now_ms: u64) {
        let failures = self.failures.saturating_add(1);
        let retry_at = nth_after(schedule, now_ms, intervals(failures, schedule));
        let rest_until = rest.map(|rest| rested(rest, now_ms));
        *self = Self::new(failures, Some(retry_at), rest_until, schedule);
    }

    /// A breaker with the later of both times.
    fn new(
        failures: u32,
        retry_at: Option<u64>,
        rest_until: Option<u64>,
        schedule: Schedule,
    ) -> Self {
        // A slot at the very end of the rest is not before it.
        let rested = rest_until.map(|until| schedule.next_after(until.saturating_sub(1)));
        let resting = rested > retry_at;
        Self { failures, retry_at: retry_at.max(rested), rest_until, resting }
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

    /// Until when the backend asked not to be polled, in ms by the store's clock.
    pub(super) fn rest_until(self) -> Option<u64> {
        self.rest_until
    }

    /// Whether the next poll is later for that alone.
    pub(super) fn is_resting(self) -> bool {
        self.resting
    }

    /// Whether the endpoint is polled less often, for its failures or as its backend asks.
    pub(super) fn is_open(self) -> bool {
        self.failures >= OPENS_AT || self.resting
    }
}

/// When a rest is over that was asked for within the ms `now_ms`.
fn rested(rest: Duration, now_ms: u64) -> u64 {
    let rest = u64::try_from(rest.as_millis()).unwrap_or(u64::MAX);
    now_ms.saturating_add(1).saturating_add(rest)
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
            breaker.failed(None, schedule, slot + 1.min(schedule.every() - 1));
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
            breaker.failed(None, schedule, NOW);
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
        breaker.failed(None, schedule, slot + 2_500);
        assert_eq!(breaker.retry_at(), Some(slot + 3_000));
    }

    #[test]
    fn any_number_of_failures_is_counted() {
        let schedule = schedule(Duration::MAX);
        let mut breaker = Breaker::resume(u32::MAX, Some(u64::MAX), None, schedule, NOW);
        breaker.failed(Some(Duration::MAX), schedule, u64::MAX);
        assert_eq!(breaker.failures(), u32::MAX);
    }

    #[test]
    fn a_successor_goes_on_with_what_it_finds() {
        let schedule = schedule(Duration::from_secs(1));
        let mut left = Breaker::default();
        for _ in 0..6 {
            left.failed(None, schedule, NOW);
        }
        let resumed = |now| left.rescheduled(schedule, now);
        assert_eq!(resumed(NOW + 1), left);
        assert_eq!(resumed(NOW + 60_000), left, "also once the retry time has passed");
        assert_eq!(Breaker::resume(0, None, None, schedule, NOW), Breaker::default());
    }

    #[test]
    fn a_retry_time_that_this_breaker_would_not_set_is_brought_near() {
        let schedule = schedule(Duration::from_secs(1));
        let far = Breaker::resume(6, Some(NOW + 3_600_000), None, schedule, NOW);
        assert_eq!(far.retry_at(), Some(schedule.next_after(NOW) + 3_000));
        let between = Breaker::resume(6, Some(schedule.next_after(NOW) + 1), None, schedule, NOW);
        assert_eq!(between.retry_at(), Some(schedule.next_after(NOW) + 1_000));
    }

    /// A breaker whose last poll failed at `NOW` and asked for rest, after others in a row.
    fn asked_to_rest(failures: u32, rest: Duration, schedule: Schedule) -> Breaker {
        let mut breaker = Breaker { failures: failures - 1, ..Breaker::default() };
        breaker.failed(Some(rest), schedule, NOW);
        breaker
    }

    #[test]
    fn the_first_poll_after_a_rest_is_at_the_next_slot() {
        let schedule = schedule(Duration::from_secs(1));
        let slot = schedule.next_after(NOW);
        for (rest, intervals) in [(slot + 2_000 - NOW - 1, 2), (slot + 2_000 - NOW, 3)] {
            let breaker = asked_to_rest(1, Duration::from_millis(rest), schedule);
            assert_eq!(breaker.retry_at(), Some(slot + intervals * 1_000), "{rest}");
            assert!(breaker.is_open() && breaker.is_resting());
        }
        let soon = asked_to_rest(1, Duration::from_millis(slot - NOW - 1), schedule);
        assert_eq!(soon.retry_at(), Some(slot));
        assert!(!soon.is_open(), "no poll is later for that");
    }

    #[test]
    fn the_later_of_rest_and_failures_counts() {
        let schedule = schedule(Duration::from_secs(1));
        let slot = schedule.next_after(NOW);
        let failing = asked_to_rest(8, Duration::from_secs(3), schedule);
        assert_eq!(failing.retry_at(), Some(slot + 9_000));
        assert!(failing.is_open() && !failing.is_resting());
        let resting = asked_to_rest(8, Duration::from_secs(60), schedule);
        assert_eq!(resting.retry_at(), Some(slot + 60_000));
    }

    #[test]
    fn a_rest_ends_with_a_good_poll_or_a_failure_that_asks_for_none() {
        let schedule = schedule(Duration::from_secs(1));
        let mut breaker = asked_to_rest(1, Duration::from_secs(60), schedule);
        let mut good = breaker;
        good.succeeded();
        assert_eq!(good, Breaker::default());
        let later = breaker.retry_at().unwrap();
        breaker.failed(None, schedule, later);
        assert_eq!((breaker.retry_at(), breaker.is_open()), (Some(later + 1_000), false));
    }

    #[test]
    fn a_successor_lets_the_backend_rest_whatever_its_schedule() {
        let left = asked_to_rest(1, Duration::from_secs(60), schedule(Duration::from_secs(1)));
        let until = left.rest_until().unwrap();
        for every in [1, 7, 3600] {
            let schedule = schedule(Duration::from_secs(every));
            let resumed = left.rescheduled(schedule, NOW + 2_000);
            assert_eq!(resumed.retry_at(), Some(schedule.next_after(until - 1)), "{every}");
        }
        let hourly = asked_to_rest(1, Duration::from_secs(60), schedule(Duration::from_secs(3600)));
        let resumed = hourly.rescheduled(schedule(Duration::from_secs(1)), NOW + 2_000);
        assert_eq!(resumed.retry_at(), left.retry_at(), "the old interval is no rest");
    }

    #[test]
    fn a_rest_longer_than_any_that_is_granted_is_brought_near() {
        let schedule = schedule(Duration::from_secs(1));
        let far = Breaker::resume(1, None, Some(u64::MAX), schedule, NOW);
        assert_eq!(far.retry_at(), Some(schedule.next_after(NOW + 3_600_000)));
        let over = Breaker::resume(1, Some(NOW - 5), Some(NOW), schedule, NOW);
        assert_eq!((over.retry_at(), over.rest_until()), (Some(NOW - 5), None));
    }
}
