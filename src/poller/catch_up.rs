//! The way back to the schedule after a takeover: overdue endpoints are polled in the room that
//! the others leave.
//!
//! All functions here are pure: the caller brings the time.

use std::cmp::{Ordering, Reverse};

use super::schedule::Schedule;

/// Up to so many polls a second are no burst, however few the schedule has: a handful of endpoints
/// with long intervals need not wait for their first snapshots.
const ALWAYS_ALLOWED: f64 = 10.0;
/// How fine the load is looked at, in ms.
const STEP: u64 = 100;
/// So many steps are a second.
const SECOND: usize = 10;
/// How far the load is looked at, in ms. What is left by then is only paced.
const HORIZON: u64 = 60_000;

/// An endpoint that should have been polled already.
#[derive(Clone, Copy, Debug)]
pub struct Overdue<T> {
    /// What the caller knows the endpoint by.
    pub endpoint: T,
    /// Its schedule.
    pub schedule: Schedule,
    /// Since when it is due, in ms by the store's clock; `None`: it never was polled.
    pub since: Option<u64>,
}

/// Plans the first polls of overdue endpoints: for each, when it starts, in ms by the store's
/// clock and in ascending order.
///
/// `slots` are the regular polls of *all* endpoints: the first slot of each after `now_ms`, and its
/// schedule. They keep their times, and fill each second to the steady rate already. So what is
/// overdue may only fill the seconds up to what the busiest of them have by chance: to no second
/// does it add more than two standard deviations of randomly spread polls, nor anything where
/// there are that many. Within that, those overdue for the most intervals go first, and those
/// never polled before all others, at an even pace. An endpoint whose slot comes before its turn
/// is left to its slot, and its turn goes to the next one: none waits for longer than an interval.
pub fn catch_up<T>(
    now_ms: u64,
    mut overdue: Vec<Overdue<T>>,
    slots: &[(u64, Schedule)],
) -> Vec<(T, u64)> {
    overdue.sort_by(|a, b| by_urgency(now_ms, a, b));
    let rate = slots.iter().map(|(_, schedule)| 1000.0 / schedule.every() as f64).sum();
    let most = busiest_second(rate);
    let gap_ms = 1000.0 / (most - rate);
    let longest = overdue.iter().map(|entry| entry.schedule.every()).max().unwrap_or_default();
    let mut load = Load::new(now_ms, slots, longest.min(HORIZON));
    let mut turn_ms = 0.0;
    let mut plan: Vec<(T, u64)> = overdue
        .into_iter()
        .map(|entry| {
            turn_ms = load.first_with_room(turn_ms, most);
            let turn = now_ms.saturating_add(turn_ms as u64);
            let slot = entry.schedule.next_after(now_ms);
            if turn < slot {
                load.add(turn_ms);
                turn_ms += gap_ms;
            }
            (entry.endpoint, turn.min(slot))
        })
        .collect();
    plan.sort_by_key(|(_, start)| *start);
    plan
}

/// How many polls the busiest seconds of a schedule have, at a steady rate per second: of randomly
/// spread polls, one second in forty has more.
fn busiest_second(rate: f64) -> f64 {
    (rate + 2.0 * rate.sqrt()).max(ALWAYS_ALLOWED)
}

/// The most overdue first, in relation to the interval.
fn by_urgency<T>(now_ms: u64, a: &Overdue<T>, b: &Overdue<T>) -> Ordering {
    match (a.since, b.since) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
        (Some(a_since), Some(b_since)) => {
            // a_late / a_every against b_late / b_every, without the fractions.
            let weight = |since: u64, other: &Schedule| {
                u128::from(now_ms.saturating_sub(since)) * u128::from(other.every())
            };
            let (a_weight, b_weight) = (weight(a_since, &b.schedule), weight(b_since, &a.schedule));
            Reverse(a_weight).cmp(&Reverse(b_weight))
        }
    }
}

/// How many polls start in the seconds to come.
struct Load {
    /// In the second that begins with each step.
    seconds: Vec<u32>,
}

impl Load {
    /// The load of the regular polls, from `now_ms` on.
    fn new(now_ms: u64, slots: &[(u64, Schedule)], horizon: u64) -> Self {
        let mut steps = vec![0; (horizon / STEP) as usize + SECOND];
        let end = now_ms.saturating_add(steps.len() as u64 * STEP);
        for (first, schedule) in slots {
            let mut slot = *first;
            while slot < end {
                steps[(slot.saturating_sub(now_ms) / STEP) as usize] += 1;
                slot = slot.saturating_add(schedule.every());
            }
        }
        Self { seconds: steps.windows(SECOND).map(|second| second.iter().sum()).collect() }
    }

    /// The seconds that a poll would count in; none beyond the horizon.
    fn around(&mut self, at_ms: f64) -> &mut [u32] {
        let last = (at_ms / STEP as f64) as usize;
        let end = (last + 1).min(self.seconds.len());
        let first = (last + 1).saturating_sub(SECOND).min(end);
        &mut self.seconds[first..end]
    }

    /// The first time, from `at_ms` on, at which another poll lets no second exceed `most`.
    fn first_with_room(&mut self, mut at_ms: f64, most: f64) -> f64 {
        let full = |second: &u32| f64::from(second + 1) > most;
        while self.around(at_ms).iter().any(full) {
            let step = (at_ms / STEP as f64) as u64;
            at_ms = ((step + 1) * STEP) as f64;
        }
        at_ms
    }

    fn add(&mut self, at_ms: f64) {
        for second in self.around(at_ms) {
            *second += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::*;
    use crate::model::{ClusterName, EndpointName};
    use crate::poller::Due;

    /// A time in 2026.
    const NOW: u64 = 1_795_209_600_123;

    fn schedule(name: &str, every: Duration) -> Schedule {
        let cluster = ClusterName::new("tests").unwrap();
        Schedule::new(&cluster, &EndpointName::new(name).unwrap(), every)
    }

    fn overdue(name: &str, every: Duration, since: Option<u64>) -> Overdue<String> {
        Overdue { endpoint: name.to_owned(), schedule: schedule(name, every), since }
    }

    /// The regular polls of endpoints that are all overdue.
    fn slots<T>(overdue: &[Overdue<T>]) -> Vec<(u64, Schedule)> {
        overdue.iter().map(|entry| (entry.schedule.next_after(NOW), entry.schedule)).collect()
    }

    /// A takeover at `NOW`, after nobody had polled for a while.
    struct Takeover {
        overdue: Vec<Overdue<usize>>,
        slots: Vec<(u64, Schedule)>,
    }

    impl Takeover {
        /// Many endpoints with random names, and one interval or several.
        fn after(gap: Duration, mut random: fastrand::Rng) -> Self {
            let intervals = match random.bool() {
                true => vec![10],
                false => vec![2, 10, 30, 300],
            };
            let stopped = NOW - gap.as_millis() as u64;
            let (mut overdue, mut slots) = (Vec::new(), Vec::new());
            for endpoint in 0..random.usize(1..6_000) {
                let every = Duration::from_secs(intervals[random.usize(..intervals.len())]);
                let schedule = schedule(&format!("e{}", random.u64(..)), every);
                // Checked in time, until the last leader stopped.
                let checked_at = schedule.last_at_or_before(stopped);
                if let Due::Overdue { since } = schedule.first_due(NOW, checked_at, None) {
                    overdue.push(Overdue { endpoint, schedule, since });
                }
                slots.push((schedule.next_after(NOW), schedule));
            }
            Self { overdue, slots }
        }

        /// The polls that start in the second from each tenth of a second on, with those of `plan`
        /// that come in addition to the regular ones.
        fn seconds(&self, plan: &[(usize, u64)]) -> Vec<u32> {
            let mut load = Load::new(NOW, &self.slots, 20_000);
            for (endpoint, start) in plan {
                if *start < self.slots[*endpoint].0 {
                    load.add((start - NOW) as f64);
                }
            }
            load.seconds
        }
    }

    #[test]
    fn no_second_after_a_takeover_is_busier_than_those_of_the_schedule_itself() {
        for seed in 0..60 {
            let gap = Duration::from_millis([0, 50, 300, 2_000, 9_000, 100_000][seed % 6]);
            let takeover = Takeover::after(gap, fastrand::Rng::with_seed(seed as u64));
            let rate: f64 =
                takeover.slots.iter().map(|(_, schedule)| 1000.0 / schedule.every() as f64).sum();
            let plan = catch_up(NOW, takeover.overdue.clone(), &takeover.slots);
            assert_eq!(plan.len(), takeover.overdue.len());
            let (regular, all) = (takeover.seconds(&[]), takeover.seconds(&plan));
            for (regular, all) in regular.into_iter().zip(all) {
                let most = f64::from(regular).max(busiest_second(rate));
                assert!(f64::from(all) <= most, "{all} of {regular} at {rate}, seed {seed}");
            }
        }
    }

    #[test]
    fn nobody_waits_for_longer_than_until_the_next_slot() {
        for seed in 0..60 {
            let random = fastrand::Rng::with_seed(seed);
            let takeover = Takeover::after(Duration::from_millis(100 * seed), random);
            let plan = catch_up(NOW, takeover.overdue.clone(), &takeover.slots);
            for (endpoint, start) in plan {
                assert!((NOW..=takeover.slots[endpoint].0).contains(&start));
            }
        }
    }

    #[test]
    fn what_a_short_gap_leaves_is_caught_up_with_within_an_interval() {
        let every = Duration::from_secs(10);
        let all = (0..10_000).map(|n| overdue(&format!("endpoint-{n}"), every, None));
        let all: Vec<_> = all.collect();
        let slots = slots(&all);
        let missed = all
            .into_iter()
            .filter(|entry| entry.schedule.next_after(NOW - 300) <= NOW)
            .collect::<Vec<_>>();
        let count = missed.len();
        let plan = catch_up(NOW, missed, &slots);
        let last = plan.last().unwrap().1 - NOW;
        assert!((250..350).contains(&count), "{count}");
        assert!(last < 9_000, "all {count} within {last} ms");
    }

    #[test]
    fn the_most_overdue_in_relation_to_its_interval_starts_first() {
        let hour = Duration::from_secs(3600);
        let late = |hours: u64| Some(NOW - hours * 3_600_000);
        let all = vec![
            overdue("daily", 24 * hour, late(1)),
            overdue("hourly", hour, late(9)),
            overdue("new", hour, None),
        ];
        let slots = slots(&all);
        let plan = catch_up(NOW, all, &slots);
        let order: Vec<&str> = plan.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(order, ["new", "hourly", "daily"]);
        assert_eq!(plan[0].1, NOW);
    }

    #[test]
    fn a_few_slow_endpoints_are_caught_up_with_in_a_moment() {
        let hour = Duration::from_secs(3600);
        let few: Vec<_> = (0..5).map(|n| overdue(&format!("endpoint-{n}"), hour, None)).collect();
        let slots = slots(&few);
        let starts: Vec<u64> =
            catch_up(NOW, few, &slots).iter().map(|(_, start)| start - NOW).collect();
        assert_eq!(starts, [0, 100, 200, 300, 400]);
    }

    #[test]
    fn an_endpoint_left_to_its_slot_takes_no_turn() {
        let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
        let mut all = vec![overdue("first", hour, None), overdue("second", hour, None)];
        // Their slots come sooner than any second turn.
        let soon = (0..).map(|n| overdue(&format!("endpoint-{n}"), second, None));
        let soon = soon.filter(|entry| entry.schedule.next_after(NOW) < NOW + 50).take(3);
        all.splice(1..1, soon);
        let slots = slots(&all);
        let plan: HashMap<_, _> = catch_up(NOW, all, &slots).into_iter().collect();
        assert_eq!(plan["first"], NOW);
        assert!((NOW + 100..NOW + 200).contains(&plan["second"]), "{plan:?}");
    }

    #[test]
    fn endpoints_that_are_never_due_again_do_not_overflow() {
        let forever = vec![overdue("forever", Duration::MAX, None)];
        let slots = slots(&forever);
        assert_eq!(catch_up(NOW, forever, &slots), [("forever".to_owned(), NOW)]);
        assert_eq!(catch_up::<()>(u64::MAX, Vec::new(), &[]), []);
    }
}
