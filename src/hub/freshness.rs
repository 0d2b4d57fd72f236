use std::time::Duration;

use tokio::time::Instant;

/// A good check of an endpoint: how old it was when this gateway learned of it.
///
/// Ages are counted on this gateway's monotonic clock alone: clocks of other machines do not
/// matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    age: Duration,
    learned: Instant,
}

impl Check {
    /// A check that was `age` old at `learned`.
    pub(super) fn new(age: Duration, learned: Instant) -> Self {
        Self { age, learned }
    }

    /// How long ago the check was.
    pub(super) fn age(&self, now: Instant) -> Duration {
        self.age.saturating_add(now.saturating_duration_since(self.learned))
    }
}

/// The later of two checks.
pub(super) fn latest(known: Option<Check>, told: Check, now: Instant) -> Check {
    known.filter(|known| known.age(now) <= told.age(now)).unwrap_or(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_check_does_not_replace_a_later_one() {
        let start = Instant::now();
        let now = start + Duration::from_secs(10);
        let known = Check::new(Duration::ZERO, start);
        let older = Check::new(Duration::from_secs(12), now);
        let later = Check::new(Duration::from_secs(3), now);
        assert_eq!(latest(Some(known), older, now).age(now).as_secs(), 10);
        assert_eq!(latest(Some(known), later, now).age(now).as_secs(), 3);
        assert_eq!(latest(None, older, now).age(now).as_secs(), 12);
    }
}
