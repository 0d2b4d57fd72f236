//! The half of the elector's state machine that stands by.

use std::time::Duration;

use metrics::counter;
use tokio::select;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::channels::Heard;
use super::elector::{Duties, Elector, FAREWELL};
use super::probe::{Answer, Next, Probe};
use crate::backoff::Backoff;
use crate::clock::Moment;
use crate::model::{Announcement, Record};
use crate::store::{LeaseValue, Observation, Pulse};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// A lease ends a little after its `PTTL`, which is rounded to milliseconds.
const ROUNDING: Duration = Duration::from_millis(1);

/// After so many tries for a lease that stays free it is no longer a race that was lost.
const FRUITLESS_TRIES: u32 = 5;

/// A lease that was free and has been taken.
pub(super) struct Taken {
    pub(super) lease: LeaseValue,
    /// When the request was sent.
    pub(super) sent: Moment,
    /// Since when nobody had led, as far as this replica saw.
    pub(super) leaderless_since: Option<Instant>,
}

impl<D: Duties> Elector<D> {
    /// Waits for a free lease and takes it. `led_until`: when this replica led last. `None`: the
    /// replica shuts down.
    pub(super) async fn stand_by(&mut self, led_until: Option<Instant>) -> Option<Taken> {
        let shutdown = self.shutdown.clone();
        select! {
            biased;
            () = shutdown.cancelled() => None,
            taken = self.contend(led_until) => Some(taken),
        }
    }

    /// Waits after a release until another has claimed, for two retry periods at the most: nobody
    /// else may be there.
    pub(super) async fn let_others_go_first(&mut self) {
        let shutdown = self.shutdown.clone();
        let until = Instant::now() + self.lease.retry_period * 2;
        select! {
            biased;
            () = shutdown.cancelled() => {}
            () = sleep_until(until) => LeadershipEvent {
                previous_term: self.observer.seen(),
                cause: "no_standby",
                ..self.observer.event(LeadershipChange::Unclaimed)
            }
            .info("nobody else claims: standing by again"),
            () = self.hear_a_claim() => {}
        }
    }

    async fn hear_a_claim(&mut self) {
        while !matches!(self.hear().await, Heard::Announcement(Announcement::Claimed { .. })) {}
    }

    /// Tries for the lease whenever it may be free, until it is taken.
    async fn contend(&mut self, led_until: Option<Instant>) -> Taken {
        let mut leaderless_since = led_until;
        let mut probe = Probe::new(&self.lease);
        let mut untaken = 0;
        loop {
            let answer = self.observe().await;
            let observation = &answer.observation;
            let replaced = self.is_replaced(&observation.run_id);
            if let Some(held_for) = observation.held_for {
                self.tell_what_was_seen(observation).await;
                if std::mem::take(&mut untaken) > 0 {
                    counter!("pollux_redis_failures_total", "kind" => "contention").increment(1);
                }
                self.tries.reset();
                // The next leadership gets a connection that was just tried.
                self.liveness.close();
                leaderless_since = match probe.judge(&answer, held_for) {
                    Next::Wait(wait) => self.watch(answer.asked + held_for, wait).await,
                    Next::Reap(record) => self.reap(&record).await,
                };
                continue;
            }
            if observation.record.as_ref().is_some_and(|record| probe.misses(record)) {
                // Another standby was faster to take the lease away.
                leaderless_since = self.last_pulse;
            }
            let given_back = |record: &Record| record.lease.is_empty();
            if replaced && !observation.record.as_ref().is_some_and(given_back) {
                self.leave_first_try_to_its_holder().await;
            }
            sleep(self.tries.wait()).await;
            // A lease without a liveness channel still counts, so do not wait for it for long.
            timeout(FAREWELL, self.liveness.open()).await.ok();
            let sent = self.clock.now();
            if let Some(lease) = self.store.acquire().await {
                return Taken { lease, sent, leaderless_since };
            }
            untaken += 1;
            if untaken == FRUITLESS_TRIES {
                LeadershipEvent {
                    previous_term: self.observer.seen(),
                    cause: "contention",
                    ..self.observer.event(LeadershipChange::Untaken)
                }
                .warn(
                    "the lease is free and cannot be taken: trying on; does Redis answer within 500 ms?",
                );
            }
        }
    }

    /// Tells a leader whose term is below one that this replica has seen: it was claimed on a server
    /// that is the younger of two, and readers that followed the other take nothing from it.
    async fn tell_what_was_seen(&mut self, observation: &Observation) {
        let seen = self.observer.seen();
        let outrun = observation.record.as_ref().filter(|record| record.term < seen);
        let Some(record) = outrun.filter(|_| Instant::now() >= self.next_telling) else {
            return;
        };
        self.next_telling = Instant::now() + self.lease.retry_period;
        LeadershipEvent {
            leader: &record.replica,
            term: record.term,
            previous_term: seen,
            cause: "other_store",
            ..self.observer.event(LeadershipChange::Outrun)
        }
        .warn("the leader's term is behind one that was claimed elsewhere");
        self.store.announce(&Announcement::Seen { term: seen }).await.ok();
    }

    /// Asks the store who leads, until it answers.
    async fn observe(&mut self) -> Answer {
        let mut backoff = Backoff::up_to(self.lease.retry_period);
        let first_asked = Instant::now();
        loop {
            let asked = Instant::now();
            match self.store.observe().await {
                Ok(observation) => {
                    self.observer.observed(&observation);
                    if observation.pulse == Pulse::Felt {
                        self.last_pulse = Some(asked);
                    }
                    let answered = Instant::now();
                    return Answer { observation, first_asked, asked, answered };
                }
                Err(error) => {
                    self.observer.failed("ask the store who leads", &error);
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Waits for `wait`, or until something was announced, while a lease is held until `end`; since
    /// when nobody leads, should the lease be free now: since the release, the crash, or the last
    /// sign of a leader that let its lease end.
    async fn watch(&mut self, end: Instant, wait: Duration) -> Option<Instant> {
        let until = Instant::now() + wait + ROUNDING;
        select! {
            biased;
            heard = self.hear() => match heard {
                Heard::Announcement(Announcement::Released { .. }) => Some(Instant::now()),
                Heard::Announcement(Announcement::Reaped { .. }) => self.last_pulse,
                _ => None,
            },
            () = sleep_until(until) => end.checked_sub(self.lease.duration).or(Some(end)),
        }
    }

    /// Takes the lease of a dead leader away; since when nobody leads.
    async fn reap(&mut self, suspect: &Record) -> Option<Instant> {
        let Record { term, replica, .. } = suspect;
        match self.store.reap(suspect).await {
            Ok(true) => {
                LeadershipEvent {
                    leader: replica,
                    term: *term,
                    cause: "crashed",
                    ..self.observer.event(LeadershipChange::Reaped)
                }
                .warn("the leader crashed: its lease is free");
                self.last_pulse
            }
            // Another was faster, or the leader is back.
            Ok(false) => self.last_pulse,
            Err(error) => {
                self.observer.failed("take the lease of a crashed leader away", &error);
                None
            }
        }
    }

    /// Waits for something to be heard, and notes the term that it tells.
    async fn hear(&mut self) -> Heard {
        let heard = self.announcements.next().await;
        if let Heard::Announcement(Announcement::Claimed { term, .. }) = &heard {
            self.observer.saw_term(*term);
            self.last_pulse = Some(Instant::now());
        }
        heard
    }

    /// Whether another server answers than the last time; where one cannot tell, it does not.
    fn is_replaced(&mut self, run_id: &str) -> bool {
        if run_id.is_empty() || run_id == self.server {
            return false;
        }
        !std::mem::replace(&mut self.server, run_id.to_owned()).is_empty()
    }

    /// On another server, which may have lost the lease, gives its holder the time of two
    /// renewals to claim again: the leader needs not change.
    async fn leave_first_try_to_its_holder(&mut self) {
        LeadershipEvent {
            previous_term: self.observer.seen(),
            cause: "restarted",
            ..self.observer.event(LeadershipChange::Waiting)
        }
        .info("the store was replaced or restarted: waiting for its leader to claim");
        let until = Instant::now() + self.lease.retry_period * 2;
        while let Ok(heard) = timeout_at(until, self.hear()).await {
            if matches!(heard, Heard::Announcement(_)) {
                return;
            }
        }
    }
}
