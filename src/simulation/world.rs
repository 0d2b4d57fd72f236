use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::backend::Backend;
use super::faults::{Stall, weather};
use super::ground::{Counts, Ground, Seen};
use super::readers::{Hubs, Reader};
use super::replicas::{Host, gateway, replica};
use crate::config::LeaseConfig;
use crate::store::{EmbeddedStore, Server};

pub(super) const REPLICAS: usize = 3;
pub(super) const GATEWAYS: usize = 2;
/// When the simulated servers' clocks start, in ms since 1970: terms follow from it.
const START: u64 = 1_800_000_000_000;

/// The least time between two things that happen. A standby may call a leader dead whose liveness
/// connection is lost at both its questions, though it was back between them.
const APART: Duration = Duration::from_millis(100);

/// What can go wrong in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Nothing that justifies another leader: stalls of the store for everybody that are shorter
    /// than the renew deadline, liveness connections that are lost and back within 50 ms, and
    /// whatever befalls standbys and gateways.
    Calm,
    /// Everything but what makes the store break its promise to keep a lease.
    LeasesKept,
    /// Everything.
    Wild,
}

impl Family {
    fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Calm,
            1 => Self::LeasesKept,
            _ => Self::Wild,
        }
    }
}

/// What came of a seed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) counts: Counts,
    pub(super) trace: Vec<(Duration, Seen)>,
}

/// One life of a cluster, the same for the same seed. Panics if a guarantee was broken.
pub(super) fn simulate(seed: u64) -> Outcome {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(seed);
        match world.family {
            Family::Calm => world.live_calmly().await,
            Family::LeasesKept | Family::Wild => world.live().await,
        }
        world.end_quietly().await
    })
}

pub(super) struct World {
    pub(super) family: Family,
    pub(super) rng: Rng,
    pub(super) lease: LeaseConfig,
    pub(super) server: EmbeddedStore,
    /// A copy of the server that lags behind.
    pub(super) copy: Server,
    /// The server as it was when another took its place.
    pub(super) former: Option<Server>,
    /// Whether no server's clock was behind another's: only then do terms grow whoever claims.
    pub(super) clocks_agree: bool,
    /// Whether a server was replaced and is back.
    pub(super) server_came_back: bool,
    pub(super) stall: Stall,
    pub(super) backend: Arc<Backend>,
    pub(super) ground: Arc<Ground>,
    pub(super) replicas: Vec<Host>,
    pub(super) gateways: Vec<Host>,
    pub(super) readers: Vec<JoinHandle<Reader>>,
    /// Cancelled: the readers stop reading.
    pub(super) done: CancellationToken,
    /// What runs on the hosts.
    pub(super) lives: JoinSet<()>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let family = Family::of(seed);
        let server = EmbeddedStore::new();
        server.set_clock(START);
        let ground = Arc::new(Ground::new(family != Family::Wild));
        let (backend, lease) = (Arc::new(Backend::new()), lease(&mut rng));
        let mut lives = JoinSet::new();
        let replicas = (0..REPLICAS)
            .map(|number| {
                replica(&mut lives, number, &server, &backend, &ground, lease, rng.fork())
            })
            .collect();
        let (gateways, hubs): (_, Hubs) =
            (0..GATEWAYS).map(|_| gateway(&mut lives, &server, &ground, rng.fork())).unzip();
        let done = CancellationToken::new();
        let reader = |rng| Reader::start(hubs.clone(), Arc::clone(&ground), rng, done.clone());
        let readers = (0..2).map(|_| reader(rng.fork())).collect();
        let (copy, former, stall) = (server.server(), None, Stall::default());
        let world = Self {
            family,
            rng,
            lease,
            server,
            copy,
            former,
            clocks_agree: true,
            server_came_back: false,
            stall,
            backend,
            ground,
            replicas,
            gateways,
            readers,
            done,
            lives,
        };
        world.hosts().for_each(|host| world.calm(host));
        world
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.replicas.iter().chain(&self.gateways)
    }

    /// Some random host.
    pub(super) fn host(&mut self) -> &Host {
        let number = self.rng.usize(0..REPLICAS + GATEWAYS);
        self.replicas.get(number).unwrap_or_else(|| &self.gateways[number - REPLICAS])
    }

    /// Lets a host's calls succeed, soon and always.
    pub(super) fn calm(&self, host: &Host) {
        host.store.plan(weather(0, self.stall.clone(), Rng::with_seed(17)));
    }

    pub(super) async fn pause(&mut self, longest: Duration) {
        let longest = longest.as_millis() as u64;
        sleep(APART + Duration::from_millis(self.rng.u64(0..longest))).await;
    }

    /// Waits until exactly one replica acts as the leader; its number.
    pub(super) async fn one_leads(&self) -> usize {
        let limit =
            self.lease.duration + self.lease.retry_period * 2 + Duration::from_millis(1_100);
        let start = Instant::now();
        loop {
            if let [leader] = *self.ground.acting() {
                return leader;
            }
            if start.elapsed() > limit {
                self.ground.violated(format!("{:?} lead", self.ground.acting()));
                self.ground.judge();
            }
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Durations in the proportions of the default ones. Most are shorter, for more happens in less
/// time then.
fn lease(rng: &mut Rng) -> LeaseConfig {
    let duration =
        Duration::from_millis([1_200, 1_200, 1_200, 1_200, 2_400, 6_000][rng.usize(0..6)]);
    LeaseConfig {
        duration,
        renew_deadline: duration * 2 / 3,
        retry_period: duration / 6,
        crash_probe: Some(Duration::from_millis(100)),
    }
}
