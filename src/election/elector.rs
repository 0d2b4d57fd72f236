use std::sync::Arc;
use std::time::Duration;

use metrics::{gauge, histogram};
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::channels::Announcements;
use super::keeper::{End, Keeper, report};
use super::leadership::{Leadership, Refutation};
use super::liveness::Liveness;
use super::standby::Taken;
use super::view::{Memory, Observer, View};
use crate::backoff::Backoff;
use crate::clock::{Clock, Moment};
use crate::config::LeaseConfig;
use crate::model::Record;
use crate::store::{Cause, Claim, ClaimRequest, LeaseValue, ReleaseReason, Store};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// How long a leadership that is over may still try to publish what it has. The store refuses it
/// if another has claimed meanwhile, and says so.
pub(super) const FAREWELL: Duration = Duration::from_millis(500);

/// What a replica does while it leads.
pub trait Duties: Send {
    /// Performs the duties until [`Leadership::winding_down`], finishes what must be finished, and
    /// returns. Dropped when the leadership is over before that.
    fn perform(&mut self, leadership: &Leadership) -> impl Future<Output = ()> + Send;
}

/// Who a replica is, as it writes into the record.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub replica: String,
    /// Its admin address.
    pub address: String,
}

/// Runs the state machine of one replica: standby ⇄ leading.
pub struct Elector<D> {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    pub(super) lease: LeaseConfig,
    identity: Identity,
    duties: D,
    pub(super) announcements: Announcements,
    pub(super) liveness: Liveness,
    pub(super) observer: Observer,
    /// The run id of the server that last answered; empty before the first that could be read.
    pub(super) server: String,
    /// When the present leader, or the last one, was last seen to live.
    pub(super) last_pulse: Option<Instant>,
    /// When a leader that is behind may be told so again.
    pub(super) next_telling: Instant,
    /// Paces the tries for the lease, as long as none of them lasts.
    pub(super) tries: Backoff,
    pub(super) shutdown: CancellationToken,
    /// Cancelled before `shutdown` where the replica leaves rather than starts anew.
    leaving: CancellationToken,
}

impl<D: Duties> Elector<D> {
    /// Prepares an elector, which ends when `shutdown` is cancelled.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Clock,
        lease: LeaseConfig,
        identity: Identity,
        duties: D,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            announcements: Announcements::new(Arc::clone(&store)),
            liveness: Liveness::new(Arc::clone(&store)),
            observer: Observer::new(identity.replica.clone()),
            server: String::new(),
            last_pulse: None,
            next_telling: Instant::now(),
            tries: Backoff::up_to(lease.retry_period),
            store,
            clock,
            lease,
            identity,
            duties,
            leaving: shutdown.clone(),
            shutdown,
        }
    }

    /// Goes on from what an elector of the same replica before it had seen.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        self.observer.remember(memory);
        self
    }

    /// Tells by this token whether it ends since the replica leaves, or since it starts anew with
    /// another configuration.
    #[must_use]
    pub fn leaving_with(self, leaving: CancellationToken) -> Self {
        Self { leaving, ..self }
    }

    /// What this replica sees, now and from now on.
    pub fn view(&self) -> watch::Receiver<View> {
        self.observer.subscribe()
    }

    /// Stands by and leads in turn, until the shutdown. Hands over before it returns.
    pub async fn run(mut self) {
        let LeaseConfig { duration, renew_deadline, .. } = self.lease;
        gauge!("pollux_lease_duration_seconds").set(duration.as_secs_f64());
        gauge!("pollux_lease_renew_deadline_seconds").set(renew_deadline.as_secs_f64());
        let mut led_until = None;
        while let Some(taken) = self.stand_by(led_until).await {
            let end = self.serve(taken).await;
            led_until = Some(Instant::now());
            // Whoever sees it closed need not wait for the end of a lease that was not given back.
            self.liveness.close();
            if end == Some(End::Released) {
                self.let_others_go_first().await;
            }
        }
    }

    /// Claims the taken lease and leads, term after term if the store is replaced meanwhile; how
    /// the last of them ended. `None`: nothing was claimed.
    async fn serve(&mut self, taken: Taken) -> Option<End> {
        let Taken { lease, sent, leaderless_since } = taken;
        let mut deadline = sent.after(self.lease.renew_deadline);
        let mut led: Option<Leadership> = None;
        loop {
            // Nobody had led before the first claim alone.
            let leaderless_since = leaderless_since.filter(|_| led.is_none());
            let claiming = self.claim(&lease, leaderless_since, led.is_some(), deadline);
            let Some((claim, sent)) = claiming.await else {
                // What was claimed elsewhere could not be claimed anew.
                let led = led?;
                report(End::Lost, &led, &self.observer);
                return Some(End::Lost);
            };
            let confirmed_until = sent.after(self.lease.confirmed_for());
            let leadership = Leadership::new(claim, self.clock, confirmed_until);
            let end = self.lead(&leadership).await;
            if !matches!(end, End::OtherServer | End::Outrun) {
                return Some(end);
            }
            deadline = leadership.deadline();
            led = Some(leadership);
            sleep(self.tries.wait()).await;
        }
    }

    /// Claims until the answer is known; `None` if the lease is lost before, or the replica shuts
    /// down and has no answer soon. With the claim goes when it was sent.
    async fn claim(
        &mut self,
        lease: &LeaseValue,
        leaderless_since: Option<Instant>,
        reinstate: bool,
        deadline: Moment,
    ) -> Option<(Claim, Moment)> {
        let request = ClaimRequest {
            lease: lease.clone(),
            duration: self.lease.duration,
            seen: self.observer.seen(),
            alive: self.liveness.id(),
            replica: self.identity.replica.clone(),
            address: self.identity.address.clone(),
            gap: Duration::ZERO,
            reinstate,
        };
        // A claim that is answered can be given back; any other must run out.
        let shutdown = self.shutdown.clone();
        let giving_up = hurry(&shutdown);
        select! {
            biased;
            claimed = self.claim_before(deadline, request, leaderless_since) => claimed,
            () = giving_up => None,
        }
    }

    /// Claims until the answer is known or the deadline has passed.
    async fn claim_before(
        &mut self,
        deadline: Moment,
        mut request: ClaimRequest,
        leaderless_since: Option<Instant>,
    ) -> Option<(Claim, Moment)> {
        let mut backoff = Backoff::up_to(self.lease.retry_period);
        loop {
            let sent = self.clock.now();
            if sent >= deadline {
                return None;
            }
            request.gap = leaderless_since.map(|since| since.elapsed()).unwrap_or_default();
            match self.store.claim(&request).await {
                // By now another may have claimed: this answer says nothing of the present.
                Ok(_) if self.clock.now() >= sent.after(self.lease.renew_deadline) => {}
                Ok(claim) => {
                    let claim = claim?;
                    self.begin(&claim, leaderless_since.map(|since| since.elapsed()));
                    return Some((claim, sent));
                }
                Err(error) => {
                    self.observer.failed("claim the lease", &error);
                    sleep(backoff.wait()).await;
                }
            }
        }
    }

    /// Tells everybody in this process that a leadership begins.
    fn begin(&mut self, claim: &Claim, gap: Option<Duration>) {
        let (term, cause) = (claim.term, claim.cause.as_str());
        LeadershipEvent {
            leader: &self.identity.replica,
            term,
            previous_term: self.observer.seen(),
            cause,
            gap: gap.unwrap_or_default(),
            ..self.observer.event(LeadershipChange::Claimed)
        }
        .info("leading");
        if let (Cause::Released | Cause::Crashed | Cause::Expired, Some(gap)) = (claim.cause, gap) {
            histogram!("pollux_takeover_seconds", "cause" => cause).record(gap);
        }
        self.server.clone_from(&claim.run_id);
        let record = Record {
            term,
            lease: claim.lease().to_string(),
            sequence: claim.sequence,
            base: claim.base,
            run_id: claim.run_id.clone(),
            alive: String::new(),
            replica: self.identity.replica.clone(),
            address: self.identity.address.clone(),
            since: claim.now,
        };
        self.observer.leads(claim, record);
        self.observer.held_until(Instant::now() + self.lease.duration);
    }

    /// Performs the duties while the lease is kept, and gives it back if it still is.
    async fn lead(&mut self, leadership: &Leadership) -> End {
        let began = Instant::now();
        let end = {
            let keeper = Keeper::new(
                &*self.store,
                self.clock,
                self.lease,
                leadership,
                &self.observer,
                &self.liveness,
            );
            let keeping = keeper.keep(
                &mut self.announcements,
                &mut self.liveness,
                &self.shutdown,
                &self.leaving,
            );
            let mut performing = std::pin::pin!(self.duties.perform(leadership));
            let end = select! {
                biased;
                end = keeping => end,
                () = &mut performing => End::Released,
            };
            self.observer.stands_by();
            if end == End::Deadline { say_farewell(leadership, performing).await } else { end }
        };
        report(end, leadership, &self.observer);
        if began.elapsed() >= self.lease.retry_period {
            self.tries.reset();
        }
        match end {
            End::Released | End::Fenced => {
                self.release(end, leadership, leadership.expired()).await;
            }
            // Renewals whose answers never came may yet have extended the lease, and nobody else
            // could give it back. Once nobody leads it is late anyway, but not for ever.
            End::Deadline => self.release(end, leadership, sleep(self.lease.duration)).await,
            End::Lost | End::OtherServer | End::Outrun => {}
        }
        end
    }

    /// Gives the lease back, so that nobody needs to wait for its end. It is tried until `limit`.
    async fn release(
        &mut self,
        end: End,
        leadership: &Leadership,
        limit: impl Future<Output = ()>,
    ) {
        let shutdown = self.shutdown.clone();
        let mut backoff = Backoff::up_to(self.lease.retry_period);
        let reason = match end {
            End::Deadline => ReleaseReason::Deadline,
            End::Fenced => ReleaseReason::Fenced,
            // Duties that end by themselves are those of a replica that leaves.
            _ => leadership.reason().unwrap_or(ReleaseReason::Shutdown),
        };
        let giving_back = async {
            while let Err(error) = self.store.release(leadership.claim(), reason).await {
                self.observer.failed("release the lease", &error);
                sleep(backoff.wait()).await;
            }
        };
        select! {
            biased;
            () = giving_back => {}
            () = limit => LeadershipEvent {
                leader: &self.identity.replica,
                term: leadership.term(),
                cause: end.reason().unwrap_or_default(),
                ..self.observer.event(LeadershipChange::Unreleased)
            }
            .warn("lease not released: it ends by itself"),
            () = hurry(&shutdown) => {}
        }
    }
}

/// Ends a little after the shutdown began: what has no answer by then is left.
async fn hurry(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    sleep(FAREWELL).await;
}

/// Lets duties finish that are over, and finds out whether another leads already.
async fn say_farewell(leadership: &Leadership, performing: impl Future) -> End {
    leadership.wind_down(ReleaseReason::Deadline);
    select! {
        biased;
        refutation = leadership.refuted() => match refutation {
            Refutation::Fenced => End::Fenced,
            Refutation::OtherServer => End::Deadline,
        },
        _ = performing => End::Deadline,
        () = sleep(FAREWELL) => End::Deadline,
    }
}
