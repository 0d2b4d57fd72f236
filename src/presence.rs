//! Says that this replica is there, and gives its leadership up where another could do better.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::election::{Abdication, View};
use crate::hub::Hub;
use crate::model::Announcement;
use crate::poller::{Journal, Reachability};
use crate::reload::Refused;
use crate::store::{Hosts, PRESENCE_EVERY, Presence, Store, StoreError};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// How soon a replica says again that it is there where the store did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps a replica's presence in the store.
pub(crate) struct Attendance {
    store: Arc<dyn Store>,
    presence: Presence,
    /// What the elector sees; `None` on a replica that does not poll.
    election: Option<watch::Receiver<View>>,
    abdication: Abdication,
    started: Instant,
    /// Where what it serves is counted; `None` on a replica that does not serve.
    hub: Option<Arc<Hub>>,
    /// Where its polls are counted; `None` on a replica that does not poll.
    journal: Option<Arc<Journal>>,
    refused: Refused,
}

impl Attendance {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        presence: Presence,
        election: Option<watch::Receiver<View>>,
    ) -> Self {
        Self {
            store,
            presence,
            election,
            abdication: Abdication::default(),
            started: Instant::now(),
            hub: None,
            journal: None,
            refused: Refused::default(),
        }
    }

    /// Tells what these have counted too, since `started`.
    #[must_use]
    pub(crate) fn counting(
        self,
        hub: Option<Arc<Hub>>,
        journal: Option<Arc<Journal>>,
        started: Instant,
    ) -> Self {
        Self { hub, journal, started, ..self }
    }

    /// Tells whether the configuration in place was refused, too.
    #[must_use]
    pub(crate) fn telling(self, refused: Refused) -> Self {
        Self { refused, ..self }
    }

    /// Tells the cluster every ten seconds that this replica is there, with the hosts that it
    /// could connect to meanwhile; and at the end that it is not.
    pub(crate) async fn keep(
        mut self,
        reachability: Option<watch::Receiver<Arc<Reachability>>>,
        shutdown: CancellationToken,
    ) {
        let mut hosts = None;
        loop {
            let announced = self.announce(hosts).await;
            let round = async {
                if let Err(error) = announced {
                    tracing::debug!(%error, "cannot announce this replica");
                    sleep(RETRY).await;
                    return hosts;
                }
                let counting = async {
                    match &reachability {
                        Some(newest) => {
                            let reachability = Arc::clone(&newest.borrow());
                            Some(reachability.count(PRESENCE_EVERY).await)
                        }
                        None => None,
                    }
                };
                tokio::join!(counting, sleep(PRESENCE_EVERY)).0
            };
            let Some(counted) = shutdown.run_until_cancelled(round).await else {
                break;
            };
            hosts = counted;
        }
        self.store.withdraw_presence(&self.presence.replica).await.ok();
    }

    /// Ends a round: tells what was counted, and compares it with what the others tell.
    async fn announce(&mut self, hosts: Option<Hosts>) -> Result<(), StoreError> {
        self.presence.hosts = hosts;
        let present = self.tell().await?;
        let leading = self.election.as_ref().and_then(|election| election.borrow().leading);
        let replica = &self.presence.replica;
        let Some(behind) = self.abdication.round(leading, replica, &present, Instant::now()) else {
            return Ok(());
        };
        LeadershipEvent {
            leader: replica,
            term: behind.term,
            cause: "behind",
            ..LeadershipEvent::new(LeadershipChange::Abdicating, replica)
        }
        .warn(&format!("abdicating: {behind}"));
        let announcement = Announcement::StepDown { term: behind.term, abdicates: true };
        if let Err(error) = self.store.announce(&announcement).await {
            tracing::warn!(%error, "cannot abdicate: trying again in the next round");
        }
        Ok(())
    }

    /// Tells that this replica is there, and what it has counted; all that are there.
    async fn tell(&mut self) -> Result<Vec<Presence>, StoreError> {
        let served = self.hub.as_ref().map(|hub| hub.counts()).unwrap_or_default();
        self.presence.reads = served.reads;
        self.presence.deliveries = served.deliveries;
        self.presence.polls = self.journal.as_ref().map_or(0, |journal| journal.count());
        self.presence.config_refused = self.refused.is_set();
        let mut present = self.store.announce_presence(&self.presence).await?;
        if self.presence.started_at == 0 {
            // The store alone knows the time by its clock, and tells it with the first answer.
            let own = present.iter().find(|own| own.replica == self.presence.replica);
            if let Some(now) = own.map(|own| own.seen_at) {
                let ago = u64::try_from(self.started.elapsed().as_millis()).unwrap_or_default();
                self.presence.started_at = now.saturating_sub(ago);
                present = self.store.announce_presence(&self.presence).await?;
            }
        }
        Ok(present)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::clock::Clock;
    use crate::config::LeaseConfig;
    use crate::election::{Duties, Elector, Identity, Leadership};
    use crate::store::EmbeddedStore;

    const REPLICAS: [&str; 2] = ["castor", "alhena"];

    /// Polls nothing.
    struct Idle;

    impl Duties for Idle {
        async fn perform(&mut self, leadership: &Leadership) {
            leadership.winding_down().await;
        }
    }

    /// Two replicas which compete for a lease, and what each of them counts.
    struct Pair {
        store: Arc<EmbeddedStore>,
        attendances: [Attendance; 2],
        reachable: [u32; 2],
        election: watch::Receiver<View>,
    }

    impl Pair {
        fn start() -> Self {
            let store = Arc::new(EmbeddedStore::new());
            let elect = |replica: &str| {
                let identity = Identity { replica: replica.to_owned(), address: String::new() };
                let (shutdown, lease) = (CancellationToken::new(), LeaseConfig::default());
                let elector =
                    Elector::new(store.clone(), Clock::Process, lease, identity, Idle, shutdown);
                let view = elector.view();
                tokio::spawn(elector.run());
                view
            };
            let views = REPLICAS.map(elect);
            let election = views[0].clone();
            let mut views = views.into_iter();
            let attendances = REPLICAS.map(|replica| {
                let presence = Presence { replica: replica.to_owned(), ..Presence::default() };
                Attendance::new(store.clone(), presence, views.next())
            });
            Self { store, attendances, reachable: [3, 3], election }
        }

        /// Lets a round pass, at whose end each replica tells what it reaches.
        async fn round(&mut self) {
            sleep(PRESENCE_EVERY).await;
            for (attendance, reachable) in self.attendances.iter_mut().zip(self.reachable) {
                attendance.announce(Some(Hosts { reachable, checked: 3 })).await.unwrap();
            }
            // A handover, if there is one.
            sleep(Duration::from_secs(1)).await;
        }

        async fn rounds(&mut self, rounds: usize) {
            for _ in 0..rounds {
                self.round().await;
            }
        }

        /// The number of the leader.
        fn leader(&self) -> usize {
            let record = self.election.borrow().record.clone().unwrap();
            REPLICAS.iter().position(|replica| *replica == record.replica).unwrap()
        }

        /// Lets one replica reach everything, and the other nothing.
        fn reaches_alone(&mut self, replica: usize) {
            self.reachable = [0; 2];
            self.reachable[replica] = 3;
        }

        async fn leaderships(&self) -> usize {
            let timeline = self.store.survey().await.unwrap().timeline;
            timeline.iter().filter(|entry| entry.event == "claimed").count()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_is_behind_hands_over_after_three_rounds() {
        let mut pair = Pair::start();
        pair.rounds(5).await;
        let first = pair.leader();
        pair.reaches_alone(1 - first);
        pair.rounds(2).await;
        assert_eq!(pair.leader(), first);
        // A standby that tells later in the round is compared in the next one.
        pair.rounds(2).await;
        assert_eq!(pair.leader(), 1 - first);
        let timeline = pair.store.survey().await.unwrap().timeline;
        let released = timeline.iter().find(|entry| entry.event == "released").unwrap();
        assert_eq!(released.cause, "abdicated");
        pair.rounds(100).await;
        assert_eq!(pair.leaderships().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_reaches_anything_the_leader_stays() {
        let mut pair = Pair::start();
        pair.rounds(5).await;
        pair.reachable = [0; 2];
        pair.rounds(100).await;
        assert_eq!(pair.leaderships().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lead_does_not_go_back_and_forth_with_the_hosts() {
        let mut pair = Pair::start();
        pair.rounds(1).await;
        for _ in 0..10 {
            pair.reaches_alone(1 - pair.leader());
            pair.rounds(5).await;
        }
        // Less than ten minutes: each replica has abdicated once.
        assert_eq!(pair.leaderships().await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_does_not_poll_says_that_it_is_there_until_it_leaves() {
        let store = Arc::new(EmbeddedStore::new());
        let presence = Presence { replica: "gateway".to_owned(), ..Presence::default() };
        let attendance = Attendance::new(store.clone(), presence, None);
        let shutdown = CancellationToken::new();
        let kept = tokio::spawn(attendance.keep(None, shutdown.clone()));
        sleep(PRESENCE_EVERY * 10).await;
        let present = store.survey().await.unwrap().replicas;
        assert_eq!((present.len(), present[0].hosts), (1, None));
        shutdown.cancel();
        timeout(RETRY, kept).await.unwrap().unwrap();
        assert!(store.survey().await.unwrap().replicas.is_empty());
    }
}
