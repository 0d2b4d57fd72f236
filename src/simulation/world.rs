use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::backend::{Backend, endpoints, names};
use super::faults::{LATEST, Stall, outage, partition, weather};
use super::ground::{Counts, Ground, Seen};
use super::readers::{Hubs, Reader, STAY};
use super::replicas::{DOWN, Host, gateway, replica};
use crate::config::LeaseConfig;
use crate::store::{Channel, EmbeddedStore, Reading, Server, Store as _};

const REPLICAS: usize = 3;
const GATEWAYS: usize = 2;
/// How many things happen in a life.
const EVENTS: usize = 10;
/// When the simulated servers' clocks start, in ms since 1970: terms follow from it.
const START: u64 = 1_800_000_000_000;
/// How long it takes until every endpoint has been polled, and every reader has what it brought.
const CAUGHT_UP: Duration = Duration::from_millis(1_500 + STAY);
/// How long a gateway takes to notice by itself that it hears nothing.
const SILENCE: Duration = Duration::from_millis(3_000);

/// What can go wrong in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
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
    trace: Vec<(Duration, Seen)>,
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

struct World {
    family: Family,
    rng: Rng,
    lease: LeaseConfig,
    server: EmbeddedStore,
    /// A copy of the server that lags behind.
    copy: Server,
    /// The server as it was when another took its place.
    former: Option<Server>,
    /// Whether no server's clock was behind another's: only then do terms grow whoever claims.
    clocks_agree: bool,
    stall: Stall,
    backend: Arc<Backend>,
    ground: Arc<Ground>,
    replicas: Vec<Host>,
    gateways: Vec<Host>,
    readers: Vec<tokio::task::JoinHandle<Reader>>,
    done: CancellationToken,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let family = Family::of(seed);
        let server = EmbeddedStore::new();
        server.set_clock(START);
        let ground = Arc::new(Ground::new(family != Family::Wild));
        let (backend, lease) = (Arc::new(Backend::new()), lease(&mut rng));
        let replicas = (0..REPLICAS)
            .map(|number| replica(number, &server, &backend, &ground, lease, rng.fork()))
            .collect();
        let (gateways, hubs): (_, Hubs) =
            (0..GATEWAYS).map(|_| gateway(&server, &ground, rng.fork())).unzip();
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
            stall,
            backend,
            ground,
            replicas,
            gateways,
            readers,
            done,
        };
        world.hosts().for_each(|host| world.calm(host));
        world
    }

    fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.replicas.iter().chain(&self.gateways)
    }

    /// Some random host.
    fn host(&mut self) -> &Host {
        let number = self.rng.usize(0..REPLICAS + GATEWAYS);
        self.replicas.get(number).unwrap_or_else(|| &self.gateways[number - REPLICAS])
    }

    /// Lets a host's calls succeed, soon and always.
    fn calm(&self, host: &Host) {
        host.store.plan(weather(0, self.stall.clone(), Rng::with_seed(17)));
    }

    async fn pause(&mut self, longest: Duration) {
        let longest = longest.as_millis() as u64;
        sleep(Duration::from_millis(self.rng.u64(0..longest))).await;
    }

    async fn live(&mut self) {
        let percent = [0, 2, 10, 25][self.rng.usize(0..4)];
        for host in self.replicas.iter().chain(&self.gateways) {
            host.store.plan(weather(percent, self.stall.clone(), self.rng.fork()));
            crash_some_time(host, &mut self.rng);
        }
        for _ in 0..EVENTS {
            self.pause(self.lease.duration / 2).await;
            if self.rng.u8(0..3) == 0 {
                self.copy = self.server.server();
            }
            self.something_happens(percent).await;
        }
    }

    async fn something_happens(&mut self, percent: u8) {
        let what = self.rng.u8(0..18);
        tracing::info!(what, "something happens");
        match what {
            0..13 => self.befall_host(what, percent),
            _ if self.family == Family::LeasesKept => {
                if what < 15 {
                    self.server.fail_over();
                    self.ground.count(|counts| counts.servers += 1);
                }
            }
            13 => self.server.evict_lease(),
            _ => self.befall_server(what),
        }
        if what == 12 {
            self.server.request_step_down(self.ground.term()).await.unwrap();
            self.ground.count(|counts| counts.step_downs += 1);
        }
    }

    /// Something that happens to a replica, to a gateway, or to the way to the store.
    fn befall_host(&mut self, what: u8, percent: u8) {
        let (rng, stall, family) = (self.rng.fork(), self.stall.clone(), self.family);
        let mut own = self.rng.fork();
        let longest = self.lease.duration.mul_f64(1.5);
        let leader = self.ground.acting().first().copied();
        let host = match leader {
            // What befalls the leader matters most.
            Some(leader) if own.bool() => &self.replicas[leader],
            _ => self.host(),
        };
        match what {
            0 => host.store.cut(|_| true),
            1 => host.store.cut(|channel| matches!(channel, Channel::Alive(_))),
            2 if family == Family::Wild => host.store.forget(|_| true),
            2 | 3 => host.store.mute(|_| true),
            4 | 5 => {
                host.store.plan(partition(rng));
                if what == 4 {
                    host.store.cut(|_| true);
                } else {
                    host.store.mute(|_| true);
                }
            }
            6 => {
                let control = Arc::clone(&host.control);
                control.freeze();
                tokio::spawn(async move {
                    sleep(longest.mul_f64(own.f64())).await;
                    control.thaw();
                });
            }
            7 => host.control.crash_after(0),
            8 => crash_some_time(host, &mut own),
            9 => host.store.plan(weather(percent, stall, rng)),
            10 => stall.begin(longest.mul_f64(own.f64())),
            11 => {
                host.leave();
                self.ground.count(|counts| counts.leavings += 1);
            }
            _ => {}
        }
    }

    /// Something that happens to the server, and loses leases or more.
    fn befall_server(&mut self, what: u8) {
        let before = self.server.server();
        match what {
            14 => self.server.restart_empty(),
            15 => self.server.fail_over(),
            16 => {
                self.server.promote(self.copy.clone());
                self.former = Some(before);
            }
            _ => {
                let Some(former) = self.former.take() else { return };
                self.server.fail_back(former);
            }
        }
        // One clock in four is behind, by less than a life lasts or more.
        if self.rng.u8(0..4) == 0 {
            self.server.turn_clock_back(Duration::from_millis(self.rng.u64(0..20_000)));
            self.clocks_agree = false;
        }
        self.ground.count(|counts| counts.servers += 1);
    }

    async fn live_calmly(&mut self) {
        let leader = self.one_leads().await;
        // What happened before the first claim is over.
        sleep(self.lease.retry_period * 3).await;
        let leaderships = self.ground.counts().leaderships;
        for _ in 0..EVENTS {
            self.pause(self.lease.retry_period * 2).await;
            self.something_unimportant_happens(leader).await;
        }
        sleep(self.lease.duration).await;
        if self.ground.counts().leaderships != leaderships || self.ground.acting() != [leader] {
            self.ground.violated("the leader changed without a cause".into());
        }
    }

    async fn something_unimportant_happens(&mut self, leader: usize) {
        let mut rng = self.rng.fork();
        let other = match rng.usize(0..REPLICAS + GATEWAYS - 1) {
            standby @ 0..2 => &self.replicas[(leader + 1 + standby) % REPLICAS],
            gateway => &self.gateways[gateway - 2],
        };
        match self.rng.u8(0..8) {
            0 | 1 => {
                let length = self.lease.renew_deadline.mul_f64(rng.f64());
                self.stall.begin(length);
                // Another stall is another one only if a renewal came between.
                sleep(length + self.lease.retry_period * 2).await;
            }
            2 | 3 => {
                let store = &self.replicas[leader].store;
                let length = Duration::from_millis(rng.u64(0..15));
                store.plan(outage(length, self.stall.clone(), rng));
                store.cut(|channel| matches!(channel, Channel::Alive(_)));
            }
            4 => {
                let store = &self.replicas[leader].store;
                store.cut(|channel| matches!(channel, Channel::Leadership));
            }
            5 => other.control.crash_after(rng.u64(0..20)),
            6 => other.store.cut(|_| true),
            _ => {
                let control = Arc::clone(&other.control);
                control.freeze();
                sleep(self.lease.duration.mul_f64(rng.f64())).await;
                control.thaw();
            }
        }
    }

    /// Waits until exactly one replica acts as the leader; its number.
    async fn one_leads(&self) -> usize {
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

    /// Once nothing more goes wrong, one leads and publishes, and stays, and every reader gets
    /// everything.
    async fn end_quietly(mut self) -> Outcome {
        tracing::info!("nothing more goes wrong");
        self.stall.end();
        for host in self.hosts() {
            host.control.spare();
            host.control.thaw();
            self.calm(host);
        }
        // A network that is back may end what was open, or leave it to them to find out.
        let told = self.rng.bool();
        if told {
            self.hosts().for_each(|host| host.store.cut(|_| true));
        }
        sleep(Duration::from_millis(DOWN.max(LATEST))).await;
        self.one_leads().await;
        let (term, published) = (self.ground.term(), self.ground.counts().publications);
        sleep(Duration::from_millis(300)).await;
        self.backend.settle();
        sleep(if told { CAUGHT_UP } else { CAUGHT_UP + SILENCE }).await;
        if self.ground.term() != term || self.ground.acting().len() != 1 {
            self.ground.violated("the leader changed after all was well".into());
        }
        if self.ground.counts().publications == published {
            self.ground.violated("publications stopped".into());
        }
        self.compare().await;
        for host in self.replicas.drain(..).chain(self.gateways.drain(..)) {
            host.close().await;
        }
        self.ground.judge();
        Outcome { counts: self.ground.counts(), trace: self.ground.trace() }
    }

    /// Compares what the backend, the store and the readers have.
    async fn compare(&mut self) {
        let endpoints: Vec<_> = endpoints().into_iter().map(|endpoint| endpoint.name).collect();
        let Reading { version, snapshots, .. } = self.server.read(&endpoints).await.unwrap();
        for name in names() {
            let current = self.backend.body(name);
            let held = snapshots.iter().find(|held| held.endpoint.as_str() == name);
            if held.is_none_or(|held| held.body.bytes() != current.as_bytes()) {
                self.ground.violated(format!("the store lacks {name} {current}: {held:?}"));
            }
        }
        self.done.cancel();
        for reader in self.readers.drain(..) {
            let reader = reader.await.expect("does not panic");
            // Where terms fell behind, a reader waits until they have passed what it has.
            if !self.clocks_agree && reader.cursor.term > version.term {
                continue;
            }
            for held in &snapshots {
                let has = reader.has.get(held.endpoint.as_str());
                if has != Some(&held.version) {
                    self.ground.violated(format!("a reader has {has:?} in place of {held:?}"));
                }
            }
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

/// Lets the present or the next process of a host crash at a random await, sooner rather than
/// later: much of what can be interrupted happens near the start.
fn crash_some_time(host: &Host, rng: &mut Rng) {
    let most = 2_u64.pow(rng.u32(1..11));
    host.control.crash_after(rng.u64(1..=most));
}
