//! When an endpoint is due: a fixed grid, and the way back to it after a takeover.
//!
//! The due times of an endpoint are `offset + k * every`, in ms by the store's clock. Nothing in
//! them depends on a replica, on the last poll or on how long it took: every leader finds the same
//! times, and there is no drift. The offset is hashed from the names, which spreads the endpoints
//! evenly over their interval.
//!
//! All functions here are pure: the caller brings the time.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{ClusterName, EndpointName};

/// The slowest pace of [`catch_up`], in polls per second: a handful of endpoints with long
/// intervals need not wait for their first snapshot as long as the steady rate would have it.
const SLOWEST_CATCH_UP: f64 = 10.0;

/// The due times of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    every: u64,
    offset: u64,
}

/// When an endpoint is first polled under a new leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// At once: the last slot has passed without a good check.
    Overdue,
    /// At its next slot, in ms by the store's clock.
    At(u64),
}

/// An overdue endpoint, for [`catch_up`].
#[derive(Clone, Copy, Debug)]
pub struct Overdue<T> {
    /// What the caller knows the endpoint by.
    pub endpoint: T,
    /// Its schedule.
    pub schedule: Schedule,
    /// Its last good check, in ms by the store's clock; `None`: there never was one.
    pub checked_at: Option<u64>,
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

    /// When a new leader polls the endpoint first, given its last good check.
    pub fn first_due(self, now_ms: u64, checked_at: Option<u64>) -> Due {
        let missed = match (self.last_at_or_before(now_ms), checked_at) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(slot), Some(checked_at)) => checked_at < slot,
        };
        if missed { Due::Overdue } else { Due::At(self.next_after(now_ms)) }
    }
}

/// The polls per second of all endpoints together: the sum of `1 / every`.
pub fn steady_rate(intervals: impl IntoIterator<Item = Duration>) -> f64 {
    intervals.into_iter().map(|every| 1.0 / every.as_secs_f64().max(0.001)).sum()
}

/// Plans the first polls of overdue endpoints: for each, when it starts, in ms by the store's
/// clock and in ascending order.
///
/// Those with the most intervals since their last good check go first, and those never checked
/// before all others. The first starts at `now_ms`, the rest follow evenly at `rate`, the
/// [`steady_rate`] of *all* endpoints, and at ten a second where that is less. So catching up adds
/// at most as much load as there always is. An endpoint whose slot comes before its turn is left
/// to its slot, and its turn goes to the next one.
pub fn catch_up<T>(now_ms: u64, mut overdue: Vec<Overdue<T>>, rate: f64) -> Vec<(T, u64)> {
    let gap_ms = 1000.0 / rate.max(SLOWEST_CATCH_UP);
    overdue.sort_by(|a, b| by_urgency(now_ms, a, b));
    let mut turns = 0.0;
    let mut plan: Vec<(T, u64)> = overdue
        .into_iter()
        .map(|entry| {
            let turn = now_ms.saturating_add((turns * gap_ms) as u64);
            let slot = entry.schedule.next_after(now_ms);
            if turn < slot {
                turns += 1.0;
            }
            (entry.endpoint, turn.min(slot))
        })
        .collect();
    plan.sort_by_key(|(_, start)| *start);
    plan
}

/// The most overdue first, in relation to the interval.
fn by_urgency<T>(now_ms: u64, a: &Overdue<T>, b: &Overdue<T>) -> Ordering {
    match (a.checked_at, b.checked_at) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a_checked), Some(b_checked)) => {
            // a_age / a_every against b_age / b_every, without the fractions.
            let weight = |checked: u64, other: &Schedule| {
                u128::from(now_ms.saturating_sub(checked)) * u128::from(other.every)
            };
            let (a_weight, b_weight) =
                (weight(a_checked, &b.schedule), weight(b_checked, &a.schedule));
            Reverse(a_weight).cmp(&Reverse(b_weight))
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

    fn overdue(name: &str, every: Duration, checked_at: Option<u64>) -> Overdue<String> {
        Overdue { endpoint: name.to_owned(), schedule: schedule(name, every), checked_at }
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
            assert_eq!(schedule.first_due(now, None), Due::Overdue);
            assert_eq!(schedule.first_due(now, Some(slot)), next);
            assert_eq!(schedule.first_due(now, Some(now)), next);
            if let Some(before) = slot.checked_sub(1) {
                assert_eq!(schedule.first_due(now, Some(before)), Due::Overdue);
            }
        }
    }

    #[test]
    fn an_endpoint_never_checked_is_due_at_once_even_before_its_first_slot() {
        let schedule = Schedule { every: 1000, offset: 500 };
        assert_eq!(schedule.first_due(100, None), Due::Overdue);
        assert_eq!(schedule.first_due(100, Some(50)), Due::At(500));
    }

    #[test]
    fn the_most_overdue_in_relation_to_its_interval_starts_first() {
        let hour = Duration::from_secs(3600);
        let plan = catch_up(
            NOW,
            vec![
                overdue("daily", 24 * hour, Some(NOW - 25 * 3_600_000)),
                overdue("hourly", hour, Some(NOW - 10 * 3_600_000)),
                overdue("new", hour, None),
            ],
            0.001,
        );
        let order: Vec<&str> = plan.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["new", "hourly", "daily"]);
        assert_eq!(plan[0].1, NOW);
    }

    #[test]
    fn catching_up_keeps_to_the_steady_rate() {
        let every = Duration::from_secs(10);
        let all: Vec<_> =
            (0..10_000).map(|n| overdue(&format!("endpoint-{n}"), every, None)).collect();
        let rate = steady_rate(all.iter().map(|_| every));
        assert!((rate - 1000.0).abs() < 1e-6);
        let slots: std::collections::HashMap<_, _> = all
            .iter()
            .map(|entry| (entry.endpoint.clone(), entry.schedule.next_after(NOW)))
            .collect();

        let plan = catch_up(NOW, all, rate);

        assert_eq!(plan.len(), 10_000);
        assert_eq!(plan[0].1, NOW);
        assert!(plan.iter().all(|(name, start)| *start <= slots[name]));
        let mut turns: Vec<u64> = plan
            .iter()
            .filter(|(name, start)| *start < slots[name])
            .map(|(_, start)| start - NOW)
            .collect();
        turns.dedup();
        assert!(turns.windows(2).all(|pair| pair[1] > pair[0]));
        let first_second = turns.iter().filter(|start| **start < 1000).count();
        assert!((900..=1000).contains(&first_second), "{first_second}");
    }

    #[test]
    fn a_few_slow_endpoints_are_caught_up_with_in_a_moment() {
        let hour = Duration::from_secs(3600);
        let few: Vec<_> = (0..5).map(|n| overdue(&format!("endpoint-{n}"), hour, None)).collect();
        let rate = steady_rate(few.iter().map(|_| hour));
        let starts: Vec<u64> =
            catch_up(NOW, few, rate).iter().map(|(_, start)| start - NOW).collect();
        assert_eq!(starts, [0, 100, 200, 300, 400]);
    }

    #[test]
    fn an_endpoint_left_to_its_slot_takes_no_turn() {
        let hour = Duration::from_secs(3600);
        let plan = catch_up(
            NOW,
            vec![
                overdue("first", hour, None),
                overdue("frequent", Duration::from_millis(10), None),
                overdue("second", hour, None),
            ],
            10.0,
        );
        let frequent = schedule("frequent", Duration::from_millis(10)).next_after(NOW);
        let expected = [("first", NOW), ("frequent", frequent), ("second", NOW + 100)];
        let plan: Vec<_> = plan.iter().map(|(name, start)| (name.as_str(), *start)).collect();
        assert_eq!(plan, expected);
    }
}
