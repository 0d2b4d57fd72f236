use std::time::Duration;

use metrics::{counter, histogram};
use tokio::select;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::channels::{Announcements, Heard};
use super::leadership::{Leadership, Refutation};
use super::liveness::{Liveness, Pulses, stay_alive};
use super::view::Observer;
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::config::LeaseConfig;
use crate::model::{Announcement, Record};
use crate::store::{Observation, ReleaseReason, Renewal, Store};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// The least that a wait between two renewals is shortened to.
const SHORTEST_WAIT: Duration = Duration::from_millis(10);

/// Why a leadership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was asked to end, and its duties are done.
    Released,
    /// No renewal succeeded until the deadline.
    Deadline,
    /// Another claim is in the record.
    Fenced,
    /// The lease is another's, or nobody's.
    Lost,
    /// The server's run id changed: the same replica claims again.
    OtherServer,
    /// Another server had a higher term, which readers have seen: they take nothing from this one
    /// any more, and the same replica claims again.
    Outrun,
}

impl End {
    /// The name in metrics; a claim made anew is no loss.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Released => Some("released"),
            Self::Deadline => Some("deadline"),
            Self::Fenced => Some("fenced"),
            Self::Lost => Some("lost"),
            Self::OtherServer | Self::Outrun => None,
        }
    }
}

/// Keeps a claimed lease: renews it, listens, and says when it is over.
pub(super) struct Keeper<'a> {
    store: &'a dyn Store,
    clock: Clock,
    lease: LeaseConfig,
    leadership: &'a Leadership,
    observer: &'a Observer,
    /// Asks for a renewal at once.
    at_once: Notify,
    pulses: Pulses,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        clock: Clock,
        lease: LeaseConfig,
        leadership: &'a Leadership,
        observer: &'a Observer,
        liveness: &Liveness,
    ) -> Self {
        let pulses = Pulses::new(lease.retry_period, liveness.id());
        let at_once = Notify::new();
        Self { store, clock, lease, leadership, observer, at_once, pulses }
    }

    /// Keeps the lease until it is over, for whatever reason but a release. `shutdown` ends it, for
    /// the reason that `leaving` tells then.
    pub(super) async fn keep(
        self,
        announcements: &mut Announcements,
        liveness: &mut Liveness,
        shutdown: &CancellationToken,
        leaving: &CancellationToken,
    ) -> End {
        let leadership = self.leadership;
        select! {
            biased;
            () = leadership.expired() => End::Deadline,
            refutation = leadership.refuted() => match refutation {
                Refutation::Fenced => End::Fenced,
                Refutation::OtherServer => End::OtherServer,
            },
            end = self.renew() => end,
            end = self.listen(announcements) => end,
            () = stay_alive(leadership, liveness, &self.at_once, &self.pulses) => End::Lost,
            () = self.wind_down_on(shutdown, leaving) => End::Released,
        }
    }

    /// Renews every retry period, and at once when asked to, until the lease is not held.
    async fn renew(&self) -> End {
        let mut last = Instant::now();
        loop {
            select! {
                biased;
                () = sleep_until(last + self.lease.retry_period) => {}
                () = self.at_once.notified() => {}
            }
            last = Instant::now();
            if let Some(end) = self.renew_once().await {
                return end;
            }
        }
    }

    /// Renews, trying again as long as the answer is unknown; how the leadership ends, if it does.
    async fn renew_once(&self) -> Option<End> {
        let leadership = self.leadership;
        let mut backoff = Backoff::up_to(self.lease.retry_period);
        loop {
            let (sent, started) = (self.clock.now(), Instant::now());
            let answer = self.store.renew(leadership.claim(), self.pulses.channel()).await;
            let result = match &answer {
                Ok(Renewal::Held { .. }) => Some("held"),
                Ok(Renewal::Lost) => Some("lost"),
                Ok(Renewal::OtherServer) => None,
                Err(_) => Some("unknown"),
            };
            if let Some(result) = result {
                let seconds = histogram!("pollux_lease_renew_seconds", "result" => result);
                seconds.record(started.elapsed());
            }
            match answer {
                Ok(Renewal::Held { now }) => {
                    leadership.confirm(sent, self.lease.confirmed_for(), now);
                    self.observer.held_until(started + self.lease.duration);
                    self.pulses.expect_one(started);
                    if backoff.reset() {
                        tracing::info!(term = leadership.term(), "lease renewed again");
                    }
                    return None;
                }
                Ok(Renewal::Lost) => return Some(End::Lost),
                Ok(Renewal::OtherServer) => return Some(End::OtherServer),
                Err(error) => {
                    self.observer.failed("renew the lease", &error);
                    let left = leadership.deadline().since(self.clock.now());
                    sleep(before_deadline(backoff.wait(), left)).await;
                }
            }
        }
    }

    /// Hears what is announced, until that ends the leadership.
    async fn listen(&self, announcements: &mut Announcements) -> End {
        let (leadership, at_once) = (self.leadership, &self.at_once);
        loop {
            let announcement = match announcements.next().await {
                Heard::Announcement(announcement) => announcement,
                // The connection was gone, and so perhaps was the server.
                Heard::Subscribed => {
                    at_once.notify_one();
                    continue;
                }
            };
            match announcement {
                Announcement::Claimed { term, .. } | Announcement::Seen { term }
                    if term > leadership.term() =>
                {
                    self.observer.saw_term(term);
                    match self.store.observe().await {
                        Ok(Observation { record: Some(record), .. }) => {
                            if record.term > leadership.term() {
                                return End::Fenced;
                            }
                            if self.observer.seen() > record.term && is_own(leadership, &record) {
                                return End::Outrun;
                            }
                        }
                        Ok(_) => {}
                        // The record cannot be read: whether the lease is still held decides.
                        Err(_) => at_once.notify_one(),
                    }
                }
                Announcement::StepDown { term, abdicates } if term == leadership.term() => {
                    self.step_down(match abdicates {
                        true => ReleaseReason::Abdicated,
                        false => ReleaseReason::Asked,
                    });
                }
                // The report of its death is wrong, but the lease is gone: a renewal finds out.
                Announcement::Reaped { term, .. } if term == leadership.term() => {
                    leadership.doubt();
                    at_once.notify_one();
                }
                _ => {}
            }
        }
    }

    /// Winds the leadership down once the replica shuts down, and then lets it: never ends.
    async fn wind_down_on(&self, shutdown: &CancellationToken, leaving: &CancellationToken) {
        shutdown.cancelled().await;
        self.step_down(match leaving.is_cancelled() {
            true => ReleaseReason::Shutdown,
            false => ReleaseReason::Reconfigured,
        });
        std::future::pending().await
    }

    /// Begins to hand over.
    fn step_down(&self, reason: ReleaseReason) {
        let message = match reason {
            ReleaseReason::Asked => "stepping down, as asked",
            ReleaseReason::Abdicated => "stepping down: another replica reaches more hosts",
            ReleaseReason::Reconfigured => "stepping down: this replica is configured anew",
            _ => "stepping down: this replica leaves",
        };
        LeadershipEvent {
            leader: self.observer.replica(),
            term: self.leadership.term(),
            cause: reason.as_str(),
            ..self.observer.event(LeadershipChange::SteppingDown)
        }
        .info(message);
        self.leadership.wind_down(reason);
    }
}

/// Shortens a wait as the deadline comes near, so that a store that is back only just in time is
/// asked in time.
fn before_deadline(wait: Duration, left: Duration) -> Duration {
    wait.min((left / 2).max(SHORTEST_WAIT))
}

/// Whether the record is that of this leadership.
fn is_own(leadership: &Leadership, record: &Record) -> bool {
    record.term == leadership.term() && record.lease == leadership.claim().lease().to_string()
}

/// Counts and logs how a leadership ended.
pub(super) fn report(end: End, leadership: &Leadership, observer: &Observer) {
    let Some(reason) = end.reason() else { return };
    counter!("pollux_leadership_lost_total", "reason" => reason).increment(1);
    let event = LeadershipEvent {
        leader: observer.replica(),
        term: leadership.term(),
        cause: reason,
        led_for: leadership.age(),
        ..observer.event(LeadershipChange::Ended)
    };
    match end {
        End::Released => event.info("leadership ended"),
        _ => event.warn("leadership ended"),
    }
}
