use std::sync::Arc;
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::faulty::Faulty;
use super::ground::{Counter, Ground, STEP};
use crate::clock::Clock;
use crate::config::LeaseConfig;
use crate::election::{Elector, Identity, View};
use crate::store::{ClaimRequest, EmbeddedStore, Store as _};

/// What a promise in milliseconds may be late by: two steps of the one who watches.
pub(super) const MARGIN: Duration = Duration::from_millis(20);
/// What a takeover may add to the time for which the lease is held.
pub(super) const TAKEOVER: Duration = Duration::from_millis(100);

/// Replicas that compete for one lease, with the default timings.
pub(super) struct Cluster {
    pub(super) server: EmbeddedStore,
    pub(super) ground: Arc<Ground>,
    pub(super) lease: LeaseConfig,
    replicas: Vec<Replica>,
}

/// One elector, which runs by itself.
pub(super) struct Replica {
    pub(super) store: Arc<Faulty>,
    pub(super) view: watch::Receiver<View>,
    shutdown: CancellationToken,
    frozen: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// A cluster of so many replicas, none of which has run yet.
pub(super) fn cluster(replicas: usize) -> Cluster {
    cluster_with(replicas, LeaseConfig::default())
}

/// The same with these timings.
pub(super) fn cluster_with(replicas: usize, lease: LeaseConfig) -> Cluster {
    let mut cluster = Cluster {
        server: EmbeddedStore::new(),
        ground: Arc::default(),
        lease,
        replicas: Vec::new(),
    };
    for _ in 0..replicas {
        cluster.join();
    }
    cluster
}

/// The same, of replicas that do not probe: they wait for the lease to end.
pub(super) fn cluster_without_probes(replicas: usize) -> Cluster {
    cluster_with(replicas, LeaseConfig { crash_probe: None, ..LeaseConfig::default() })
}

/// Lets time pass, with all that happens meanwhile.
pub(super) async fn advance(duration: Duration) {
    sleep(duration).await;
}

/// Waits until `condition` holds; for how long it did.
pub(super) async fn wait_for(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

impl Cluster {
    /// One more replica joins; its number.
    pub(super) fn join(&mut self) -> usize {
        let replica = self.replicas.len();
        let store = Arc::new(Faulty::new(self.server.clone(), self.ground.clone()));
        let duties = Counter::new(replica, Arc::clone(&store), Arc::clone(&self.ground));
        let shutdown = CancellationToken::new();
        let identity = Identity {
            replica: format!("replica-{replica}"),
            address: format!("http://127.0.0.{replica}:9090"),
        };
        let elector = Elector::new(
            store.clone(),
            Clock::Process,
            self.lease,
            identity,
            duties,
            shutdown.clone(),
        );
        let view = elector.view();
        let frozen = watch::Sender::new(false);
        let task = tokio::spawn(freezable(elector.run(), frozen.subscribe()));
        self.replicas.push(Replica { store, view, shutdown, frozen, task: Some(task) });
        replica
    }

    /// Waits until exactly one replica acts as the leader; its number.
    pub(super) async fn leader(&self) -> usize {
        let limit = self.lease.duration + self.lease.retry_period * 2 + TAKEOVER;
        wait_for("one leader", limit, || self.acting().len() == 1).await;
        self.acting()[0]
    }

    /// A replica that is not `leader`.
    pub(super) fn other_than(&self, leader: usize) -> usize {
        (leader + 1) % self.replicas.len()
    }

    /// The replicas that act as the leader.
    pub(super) fn acting(&self) -> Vec<usize> {
        let now = Instant::now();
        let acts = |replica: &usize| {
            let last = self.ground.last_act(*replica);
            last.is_some_and(|act| now - act.at <= STEP)
        };
        (0..self.replicas.len()).filter(acts).collect()
    }

    pub(super) fn store(&self, replica: usize) -> &Faulty {
        &self.replicas[replica].store
    }

    pub(super) fn stores(&self) -> impl Iterator<Item = &Faulty> {
        self.replicas.iter().map(|replica| &*replica.store)
    }

    /// Writes a newer claim than the leader's, as another replica does that took the lease and
    /// has seen nothing before.
    pub(super) async fn usurp(&self) {
        self.server.evict_lease();
        let lease = self.server.acquire().await.unwrap();
        let request = ClaimRequest {
            lease,
            duration: self.lease.duration,
            seen: 0,
            alive: Uuid::new_v4(),
            replica: "usurper".into(),
            address: String::new(),
            gap: Duration::ZERO,
            reinstate: false,
        };
        self.server.claim(&request).await.unwrap().unwrap();
    }

    /// From now on, nobody reaches the store.
    pub(super) fn cut_off(&self) {
        self.stores().for_each(Faulty::cut_off);
    }

    /// From now on, everybody reaches it.
    pub(super) fn heal(&self) {
        self.stores().for_each(Faulty::heal);
    }

    pub(super) fn view(&self, replica: usize) -> View {
        self.replicas[replica].view.borrow().clone()
    }

    /// How many leaderships there have been.
    pub(super) fn leaderships(&self) -> usize {
        self.ground.leaderships().len()
    }

    /// The term of the last leadership.
    pub(super) fn term(&self) -> u64 {
        self.ground.leaderships().last().unwrap().term
    }

    /// Ends a replica as SIGKILL does.
    pub(super) fn kill(&mut self, replica: usize) {
        self.replicas[replica].task.take().unwrap().abort();
    }

    /// Stops a replica as SIGSTOP does.
    pub(super) fn freeze(&self, replica: usize) {
        self.replicas[replica].frozen.send_replace(true);
    }

    /// Lets a frozen replica go on as SIGCONT does.
    pub(super) fn thaw(&self, replica: usize) {
        self.replicas[replica].frozen.send_replace(false);
    }

    /// Asks a replica to leave, and waits until it has; how long that took.
    pub(super) async fn shut_down(&mut self, replica: usize) -> Duration {
        let start = Instant::now();
        let replica = &mut self.replicas[replica];
        replica.shutdown.cancel();
        let task = replica.task.take().unwrap();
        timeout(self.lease.duration, task).await.expect("leaves in time").expect("does not panic");
        start.elapsed()
    }

    /// Lets everybody leave, and checks what must hold whatever went wrong.
    pub(super) async fn finish(mut self) {
        for replica in 0..self.replicas.len() {
            self.thaw(replica);
            if self.replicas[replica].task.is_some() {
                self.shut_down(replica).await;
            }
        }
        self.ground.assert_terms_grow();
        self.ground.assert_one_acts();
        self.ground.assert_published_in_order();
    }
}

/// Runs `process` but for while it is frozen.
async fn freezable(process: impl Future<Output = ()>, mut frozen: watch::Receiver<bool>) {
    let mut process = std::pin::pin!(process);
    loop {
        frozen.wait_for(|frozen| !frozen).await.unwrap();
        select! {
            biased;
            _ = frozen.wait_for(|frozen| *frozen) => {}
            () = &mut process => return,
        }
    }
}
