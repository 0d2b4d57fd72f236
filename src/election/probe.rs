use std::time::Duration;

use tokio::time::Instant;

use crate::config::LeaseConfig;
use crate::model::Record;
use crate::store::{Observation, Pulse};

/// How long after the first answer that nobody hears a leader it is asked again, at least. A leader
/// that only lost its connection has it back by then: 0.9 ms after a `CLIENT KILL`.
const CONFIRMATION: Duration = Duration::from_millis(50);
/// How many times as long as the first answer took: a new connection takes the leader up to five
/// round trips (TCP, TLS, login, subscription) to a store that is as slow for it.
const ROUND_TRIPS: u32 = 5;

/// What the store observed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) observation: Observation,
    /// When it was first asked.
    pub(super) first_asked: Instant,
    /// When the question was sent that it answered.
    pub(super) asked: Instant,
    /// When the answer came.
    pub(super) answered: Instant,
}

impl Answer {
    /// How long it took, with all that got no answer before.
    fn took(&self) -> Duration {
        self.answered - self.first_asked
    }
}

/// What a standby does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It waits: for the lease to end, if it does not probe, or until it asks again.
    Wait(Duration),
    /// The leader is dead: its lease can be taken away.
    Reap(Box<Record>),
}

/// Finds out whether the leader has crashed, from what the store observes again and again.
///
/// One answer without a pulse is not enough: after a stall of the store it comes before the leader
/// can have subscribed again. Only a second one, to a question sent a while after the first
/// *answer*, tells a crash from a lost connection.
#[derive(Debug)]
pub(super) struct Probe {
    every: Option<Duration>,
    /// The longest that a confirmation is waited for.
    patience: Duration,
    suspicion: Option<Suspicion>,
}

#[derive(Debug)]
struct Suspicion {
    /// The leader, and how far it had got: one that gets any further lives.
    record: Record,
    /// When to ask again.
    ask_at: Instant,
}

impl Probe {
    /// Asks as often as `lease` says.
    pub(super) fn new(lease: &LeaseConfig) -> Self {
        Self { every: lease.crash_probe, patience: lease.retry_period, suspicion: None }
    }

    /// Whether nobody heard the leader in `record` when asked last.
    pub(super) fn misses(&self, record: &Record) -> bool {
        self.suspicion.as_ref().is_some_and(|suspicion| suspicion.record == *record)
    }

    /// Judges an answer of a lease held for `held_for`.
    pub(super) fn judge(&mut self, answer: &Answer, held_for: Duration) -> Next {
        let Answer { observation, asked, answered, .. } = answer;
        let suspicion = self.suspicion.take();
        let (Some(every), Some(record)) = (self.every, &observation.record) else {
            return Next::Wait(held_for);
        };
        match observation.pulse {
            Pulse::Unknown => Next::Wait(held_for),
            Pulse::Felt => Next::Wait(every.min(held_for)),
            Pulse::None => match suspicion.filter(|suspicion| suspicion.record == *record) {
                Some(suspicion) if *asked >= suspicion.ask_at => {
                    Next::Reap(Box::new(record.clone()))
                }
                confirming => {
                    let wait = (answer.took() * ROUND_TRIPS).min(self.patience).max(CONFIRMATION);
                    let ask_at = confirming.map_or(*answered + wait, |early| early.ask_at);
                    self.suspicion = Some(Suspicion { record: record.clone(), ask_at });
                    Next::Wait(ask_at - *answered)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(100);
    const HELD_FOR: Duration = Duration::from_secs(6);

    /// A probe, with the time at which its next question is sent, and how long its answer takes.
    struct Asking {
        probe: Probe,
        at: Instant,
        took: Duration,
    }

    impl Asking {
        fn new(every: Option<Duration>) -> Self {
            let lease = LeaseConfig { crash_probe: every, ..LeaseConfig::default() };
            Self { probe: Probe::new(&lease), at: Instant::now(), took: Duration::ZERO }
        }

        fn later(mut self, by: Duration) -> Self {
            self.at += by;
            self
        }

        fn hears(&mut self, pulse: Pulse) -> Next {
            self.hears_of(1, pulse)
        }

        fn hears_of(&mut self, sequence: u64, pulse: Pulse) -> Next {
            let record = Record { term: 1, sequence, ..Record::default() };
            let observation = Observation {
                held_for: Some(HELD_FOR),
                record: Some(record),
                run_id: "run".into(),
                pulse,
            };
            let (asked, answered) = (self.at, self.at + self.took);
            let answer = Answer { observation, first_asked: asked, asked, answered };
            self.probe.judge(&answer, HELD_FOR)
        }
    }

    #[test]
    fn a_living_leader_is_asked_for_again_and_again() {
        let mut asking = Asking::new(Some(EVERY));
        assert_eq!(asking.hears(Pulse::Felt), Next::Wait(EVERY));
        assert_eq!(asking.hears(Pulse::Felt), Next::Wait(EVERY));
    }

    #[test]
    fn a_leader_without_a_pulse_twice_is_dead() {
        let mut asking = Asking::new(Some(EVERY));
        assert_eq!(asking.hears(Pulse::None), Next::Wait(CONFIRMATION));
        let mut asking = asking.later(CONFIRMATION);
        assert!(matches!(asking.hears(Pulse::None), Next::Reap(record) if record.term == 1));
    }

    #[test]
    fn a_second_question_too_soon_confirms_nothing() {
        let mut asking = Asking::new(Some(EVERY));
        asking.hears(Pulse::None);
        let soon = Duration::from_millis(20);
        let mut asking = asking.later(soon);
        assert_eq!(asking.hears(Pulse::None), Next::Wait(CONFIRMATION - soon));
    }

    #[test]
    fn a_slow_answer_is_confirmed_later() {
        for (took, wait) in [(0, 50), (9, 50), (20, 100), (150, 750), (400, 1_000), (9_000, 1_000)]
        {
            let (took, wait) = (Duration::from_millis(took), Duration::from_millis(wait));
            let mut asking = Asking { took, ..Asking::new(Some(EVERY)) };
            assert_eq!(asking.hears(Pulse::None), Next::Wait(wait));
        }
    }

    #[test]
    fn a_pulse_between_takes_the_suspicion_away() {
        for pulse in [Pulse::Felt, Pulse::Unknown] {
            let mut asking = Asking::new(Some(EVERY));
            asking.hears(Pulse::None);
            asking.hears(pulse);
            let mut asking = asking.later(CONFIRMATION);
            assert_eq!(asking.hears(Pulse::None), Next::Wait(CONFIRMATION));
        }
    }

    #[test]
    fn a_leader_that_publishes_on_lives() {
        let mut asking = Asking::new(Some(EVERY));
        asking.hears_of(1, Pulse::None);
        let mut asking = asking.later(CONFIRMATION);
        assert_eq!(asking.hears_of(2, Pulse::None), Next::Wait(CONFIRMATION));
    }

    #[test]
    fn where_nothing_is_known_the_lease_has_to_end() {
        assert_eq!(Asking::new(Some(EVERY)).hears(Pulse::Unknown), Next::Wait(HELD_FOR));
    }

    #[test]
    fn without_probing_the_lease_has_to_end() {
        let mut asking = Asking::new(None);
        assert_eq!(asking.hears(Pulse::None), Next::Wait(HELD_FOR));
        let mut asking = asking.later(CONFIRMATION);
        assert_eq!(asking.hears(Pulse::None), Next::Wait(HELD_FOR));
    }
}
