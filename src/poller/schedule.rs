//! When an endpoint is due: a fixed grid.
//!
//! The due times of an endpoint are `offset + k * every`, in ms by the store's clock. Nothing in
//! them depends on a replica, on the last poll or on how long it took: every leader finds the same
//! times, and there is no drift. The offset is hashed from the names, which spreads the endpoints
//! evenly over their interval.
//!
//! All functions here are pure: the caller brings the time.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{ClusterName, EndpointName};

/// The due times of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    every: u64,
    offset: u64,
}

/// When an endpoint is first polled under a new leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// As soon as there is room: a slot has passed without a poll.
    Overdue {
        /// The first such slot, in ms by the store's clock. `None`: it never was polled.
        since: Option<u64>,
    },
    /// At a slot to come, in ms by the store's clock.
    At(u64),
}

impl Schedule {
    /// The schedule of an endpoint. `every` counts in whole ms; below one it counts as one.
    pub fn new(cluster: &ClusterName, endpoint: &EndpointName, every: Duration) -> Self {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
        // No name holds a NUL, so no two pairs of names are hashed alike.
        let names = format!("{cluster}\0{endpoint}");
        Self { every, offset: xxh3_64(names.as_bytes()) % every }
    }

    /// The first due time after `now_ms`.
    pub fn next_after(self, now_ms: u64) -> u64 {
        match self.last_at_or_before(now_ms) {
            Some(last) => last.saturating_add(self.every),
            None => self.offset,
        }
    }

    /// The last due time at or before `now_ms`. `None`: the first one is yet to come.
    pub fn last_at_or_before(self, now_ms: u64) -> Option<u64> {
        let since_first = now_ms.checked_sub(self.offset)?;
        Some(now_ms - since_first % self.every)
    }

    /// The interval, in ms and at least 1.
    pub fn every(self) -> u64 {
        self.every
    }

    /// When a new leader polls the endpoint first, given its last good check and, if the poll after
    /// that failed, the slot at which the next one may be.
    pub fn first_due(self, now_ms: u64, checked_at: Option<u64>, retry_at: Option<u64>) -> Due {
        let unchecked_since = checked_at.map(|checked_at| self.next_after(checked_at));
        match unchecked_since.max(retry_at) {
            Some(slot) if slot > now_ms => {
                Due::At(self.next_after(now_ms).max(retry_at.unwrap_or_default()))
            }
            since => Due::Overdue { since },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;
    /// A time in 2026.
    const NOW: u64 = 1_795_209_600_123;

    fn schedule(name: &str, every: Duration) -> Schedule {
        let cluster = ClusterName::new("tests").unwrap();
        Schedule::new(&cluster, &EndpointName::new(name).unwrap(), every)
    }

    /// Names, intervals and times without a pattern, the same in every run.
    fn samples() -> impl Iterator<Item = (Schedule, u64)> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..2_000).map(move |n| {
            let every = Duration::from_millis(random.u64(1..=600_000));
            let now = random.u64(0..2 * NOW);
            (schedule(&format!("endpoint-{n}"), every), now)
        })
    }

    #[test]
    fn the_offset_is_the_same_in_every_build() {
        let schedule = schedule("prices", Duration::from_secs(60));
        assert_eq!(schedule.offset, 42_972);
    }

    #[test]
    fn offsets_spread_evenly() {
        let every = Duration::from_secs(10);
        let mut buckets = [0_u32; 100];
        for n in 0..10_000 {
            let offset = schedule(&format!("endpoint-{n}"), every).offset;
            buckets[(offset / 100) as usize] += 1;
        }
        // 100 expected per bucket, with a standard deviation of 10.
        assert!(buckets.iter().all(|count| (50..=150).contains(count)), "{buckets:?}");
    }

    #[test]
    fn clusters_do_not_poll_in_step() {
        let endpoint = EndpointName::new("prices").unwrap();
        let of = |cluster| {
            let cluster = ClusterName::new(cluster).unwrap();
            Schedule::new(&cluster, &endpoint, Duration::from_secs(3600)).offset
        };
        assert_ne!(of("a"), of("b"));
    }

    #[test]
    fn the_next_slot_is_after_now_and_within_one_interval() {
        for (schedule, now) in samples() {
            let next = schedule.next_after(now);
            assert!(next > now && next - now <= schedule.every, "{schedule:?} {now}");
            assert_eq!(next % schedule.every, schedule.offset);
        }
    }

    #[test]
    fn the_last_slot_is_the_one_before_the_next() {
        for (schedule, now) in samples() {
            match schedule.last_at_or_before(now) {
                Some(last) => {
                    assert!(last <= now);
                    assert_eq!(last + schedule.every, schedule.next_after(now));
                }
                None => assert!(now < schedule.offset),
            }
        }
    }

    #[test]
    fn every_slot_is_visited_once_whenever_the_poller_looks() {
        let mut random = fastrand::Rng::with_seed(11);
        let schedule = schedule("prices", Duration::from_millis(997));
        let first = schedule.next_after(NOW);
        let mut due = first;
        for visit in 0..10_000 {
            assert_eq!(due, first + visit * 997);
            // The poll ends somewhere before the next slot.
            due = schedule.next_after(due + random.u64(0..997));
        }
    }

    #[test]
    fn there_is_no_drift_over_days() {
        let schedule = schedule("prices", Duration::from_millis(750));
        let mut due = schedule.next_after(NOW);
        let mut polls = 0;
        while due <= NOW + 3 * DAY {
            polls += 1;
            due = schedule.next_after(due);
        }
        assert_eq!(polls, 3 * DAY / 750);
        assert_eq!(due % 750, schedule.offset);
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let schedule = schedule("prices", Duration::from_secs(60));
        assert_eq!(schedule.next_after(u64::MAX), u64::MAX);
        let forever = self::schedule("prices", Duration::MAX);
        assert!(forever.next_after(0) > 0);
    }

    #[test]
    fn a_slot_without_a_good_check_is_overdue() {
        for (schedule, now) in samples() {
            let Some(slot) = schedule.last_at_or_before(now) else {
                continue;
            };
            let next = Due::At(schedule.next_after(now));
            assert_eq!(schedule.first_due(now, None, None), Due::Overdue { since: None });
            assert_eq!(schedule.first_due(now, Some(slot), None), next);
            assert_eq!(schedule.first_due(now, Some(now), None), next);
            if let Some(before) = slot.checked_sub(1) {
                let since = Some(slot);
                assert_eq!(schedule.first_due(now, Some(before), None), Due::Overdue { since });
            }
        }
    }

    #[test]
    fn an_endpoint_never_checked_is_due_at_once_even_before_its_first_slot() {
        let schedule = Schedule { every: 1000, offset: 500 };
        assert_eq!(schedule.first_due(100, None, None), Due::Overdue { since: None });
        assert_eq!(schedule.first_due(100, Some(50), None), Due::At(500));
    }

    #[test]
    fn a_failing_endpoint_is_not_overdue_before_its_retry_time() {
        let schedule = Schedule { every: 1000, offset: 500 };
        for checked_at in [Some(2_510), None] {
            assert_eq!(schedule.first_due(9_999, checked_at, Some(12_500)), Due::At(12_500));
            let since = Some(8_500);
            assert_eq!(schedule.first_due(9_999, checked_at, since), Due::Overdue { since });
        }
    }

    #[test]
    fn a_check_from_the_future_puts_off_nothing() {
        let schedule = Schedule { every: 1000, offset: 500 };
        assert_eq!(schedule.first_due(9_999, Some(99_999_999), None), Due::At(10_500));
    }
}
