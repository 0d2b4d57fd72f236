use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, Poll, endpoints};
use super::ground::{Ground, Seen};
use super::process::{Control, End, run};
use crate::clock::Clock;
use crate::config::{EndpointConfig, LeaseConfig};
use crate::election::tests::faulty::Faulty;
use crate::election::{Duties, Elector, Identity, Leadership};
use crate::hub::Hub;
use crate::model::ClusterName;
use crate::poller::{Plan, Poller};
use crate::store::EmbeddedStore;

/// The longest that a host is without its process after a crash, in ms.
pub(super) const DOWN: u64 = 500;

/// A machine on which a replica or a gateway runs, one process after the other.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) store: Arc<Faulty>,
    pub(super) control: Arc<Control>,
    /// Asks the present process to leave.
    leave: Arc<Mutex<CancellationToken>>,
    /// Cancelled: no process follows the present one.
    closed: CancellationToken,
    /// What its processes are configured to poll or to serve.
    endpoints: watch::Sender<Vec<EndpointConfig>>,
}

impl Host {
    /// Starts processes on a new host, as `start` makes them.
    fn new<P: Future<Output = ()> + Send + 'static>(
        lives: &mut JoinSet<()>,
        server: &EmbeddedStore,
        ground: &Arc<Ground>,
        mut rng: Rng,
        mut start: impl FnMut(&Self, CancellationToken) -> P + Send + 'static,
    ) -> Self {
        let host = Self {
            store: Arc::new(Faulty::new(server.clone(), ground.clone())),
            control: Arc::default(),
            leave: Arc::default(),
            closed: CancellationToken::new(),
            endpoints: watch::Sender::new(endpoints()),
        };
        let (own, ground) = (host.clone(), Arc::clone(ground));
        lives.spawn(async move {
            while !own.closed.is_cancelled() {
                let leave = own.closed.child_token();
                *own.leave.lock() = leave.clone();
                let process = start(&own, leave);
                if run(process, &own.control).await == End::Crashed {
                    ground.see(Seen::Crashed);
                    ground.count(|counts| counts.crashes += 1);
                }
                let down = Duration::from_millis(rng.u64(0..DOWN));
                own.closed.run_until_cancelled(sleep(down)).await;
            }
        });
        host
    }

    /// Asks the present process to leave; another follows.
    pub(super) fn leave(&self) {
        self.leave.lock().cancel();
    }

    /// Changes the configuration, for the present process too.
    pub(super) fn reconfigure(&self, endpoints: Vec<EndpointConfig>) {
        self.endpoints.send_replace(endpoints);
    }

    /// Asks the present process to leave; none follows.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }
}

/// A host on which a poller runs.
pub(super) fn replica(
    lives: &mut JoinSet<()>,
    number: usize,
    server: &EmbeddedStore,
    backend: &Arc<Backend>,
    ground: &Arc<Ground>,
    lease: LeaseConfig,
    mut rng: Rng,
) -> Host {
    let (backend, watched) = (Arc::clone(backend), Arc::clone(ground));
    Host::new(lives, server, ground, rng.fork(), move |host, shutdown| {
        let rng = Mutex::new(rng.fork());
        let (backend, ground) = (Arc::clone(&backend), Arc::clone(&watched));
        let poll =
            move || Poll::new(number, Arc::clone(&backend), Arc::clone(&ground), rng.lock().fork());
        let plans = Plans::following(host.endpoints.subscribe(), poll);
        let poller = Poller::new(host.store.clone(), plans.newest());
        let duties = Watched {
            replica: number,
            control: Arc::clone(&host.control),
            ground: Arc::clone(&watched),
            last_term: 0,
            poller,
        };
        let identity = Identity { replica: format!("replica-{number}"), address: String::new() };
        let elector =
            Elector::new(host.store.clone(), Clock::Process, lease, identity, duties, shutdown);
        async move {
            select! {
                biased;
                () = elector.run() => {}
                () = plans.keep() => {}
            }
        }
    })
}

/// The plans of one process, as its configuration has them.
struct Plans<P> {
    endpoints: watch::Receiver<Vec<EndpointConfig>>,
    poll: P,
    newest: watch::Sender<Arc<Plan<Poll>>>,
}

impl<P: Fn() -> Poll> Plans<P> {
    fn following(mut endpoints: watch::Receiver<Vec<EndpointConfig>>, poll: P) -> Self {
        let plan = Plan::new(poll(), &cluster(), &endpoints.borrow_and_update(), 0);
        Self { endpoints, poll, newest: watch::Sender::new(Arc::new(plan)) }
    }

    fn newest(&self) -> watch::Receiver<Arc<Plan<Poll>>> {
        self.newest.subscribe()
    }

    /// Plans anew whenever the configuration changes, and never ends by itself.
    async fn keep(mut self) {
        while self.endpoints.changed().await.is_ok() {
            let endpoints = self.endpoints.borrow_and_update().clone();
            let last = Arc::clone(&self.newest.borrow());
            let next = last.succeeded_by((self.poll)(), &cluster(), &endpoints, 0);
            self.newest.send_replace(Arc::new(next));
        }
        pending::<()>().await;
    }
}

fn cluster() -> ClusterName {
    ClusterName::new("simulated").unwrap()
}

/// A host on which a gateway runs, and its present hub.
pub(super) fn gateway(
    lives: &mut JoinSet<()>,
    server: &EmbeddedStore,
    ground: &Arc<Ground>,
    rng: Rng,
) -> (Host, Arc<Mutex<Arc<Hub>>>) {
    let present = Arc::new(Mutex::new(Hub::new(&endpoints())));
    let next = Arc::clone(&present);
    let host = Host::new(lives, server, ground, rng, move |host, shutdown| {
        let mut newest = host.endpoints.subscribe();
        let hub = Hub::new(&newest.borrow_and_update());
        *next.lock() = Arc::clone(&hub);
        let store = host.store.clone();
        async move {
            let reconfigured = async {
                while newest.changed().await.is_ok() {
                    hub.reconfigure(&newest.borrow_and_update());
                }
                pending::<()>().await;
            };
            select! {
                biased;
                () = hub.follow(store, shutdown) => {}
                () = reconfigured => {}
            }
        }
    });
    (host, present)
}

/// A poller whose leaderships are watched.
struct Watched {
    replica: usize,
    control: Arc<Control>,
    ground: Arc<Ground>,
    last_term: u64,
    poller: Poller<Poll>,
}

impl Duties for Watched {
    async fn perform(&mut self, leadership: &Leadership) {
        let _leads = self.ground.leads(self.replica, &self.control, leadership);
        let before = std::mem::replace(&mut self.last_term, leadership.term());
        if before >= self.last_term {
            self.ground.violated(format!("leads {} after {before}", self.last_term));
        }
        self.poller.perform(leadership).await;
    }
}
