use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::group::{Group, first_ended};
use super::{App, AppError, Role};
use crate::admin::{self, AdminSource, AdminState, LeaderPolls, Viewers};
use crate::clock::Clock;
use crate::config::{Config, EndpointConfig};
use crate::election::{Elector, Identity, Memory, View};
use crate::gateway::{self, GatewayState, Room};
use crate::http;
use crate::hub::Hub;
use crate::poller::{Fetcher, FetcherError, Journal, Plan, Poller, Reachability};
use crate::preflight;
use crate::presence::Attendance;
use crate::reload::Refused;
use crate::store::{Presence, Store};
use crate::telemetry::{Recorder, Traces, UPKEEP};

/// How long clients may take to fetch what they have been sent once the replica leaves: one that
/// does not read would otherwise take the whole drain time.
const LAST_BYTES: Duration = Duration::from_secs(2);
/// How long those who look at the page may take for the end of their streams.
const LAST_GLANCE: Duration = Duration::from_millis(200);

/// A replica that runs. Its parts are in groups, each of which can be started anew by itself.
pub(super) struct Running {
    /// As it was read.
    pub(super) config: Arc<Config>,
    role: Role,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    hub: Option<Arc<Hub>>,
    recorder: Option<Recorder>,
    pub(super) traces: Traces,
    more_routes: Router,
    /// Where the servers listen.
    gateway_at: Option<SocketAddr>,
    admin_at: Option<SocketAddr>,
    room: Room,
    pub(super) polling: Option<PollingParts>,
    election: Option<watch::Receiver<View>>,
    /// What one elector leaves to the next.
    memory: Memory,
    /// Told with the replica's presence.
    refused: Refused,
    started: Instant,
    /// What the admin server tells about; follows all of the above.
    told: watch::Sender<AdminState>,
    shutdown: CancellationToken,
    /// Cancelled last of all, so that probes and metrics are answered until the end.
    drained: CancellationToken,
    /// What competes for the lease and says that the replica is there.
    member: Group,
    /// What follows the store for clients.
    follower: Group,
    /// The server for clients.
    gateway: Group,
    /// The server for operators.
    admin: Group,
    /// What serves all of them.
    upkeep: Group,
}

/// What only replicas that poll have.
pub(super) struct PollingParts {
    plans: watch::Sender<Arc<Plan<Fetcher>>>,
    reachability: watch::Sender<Arc<Reachability>>,
    journal: Arc<Journal>,
}

impl Running {
    /// Starts all parts.
    pub(super) fn start(
        app: App,
        refused: Refused,
        shutdown: &CancellationToken,
    ) -> Result<Self, AppError> {
        let App { config, role, store, clock, recorder, traces, .. } = app;
        let (hub, gateway, admin, more_routes) = (app.hub, app.gateway, app.admin, app.more_routes);
        let config = Arc::new(config);
        let polling = role.polls().then(|| PollingParts::new(&config)).transpose()?;
        let drained = CancellationToken::new();
        let told = watch::Sender::new(AdminState {
            config: Arc::clone(&config),
            store: Arc::clone(&store),
            election: None,
            hub: hub.clone(),
            journal: polling.as_ref().map(|polling| Arc::clone(&polling.journal)),
            leader_polls: LeaderPolls::new(),
            viewers: Viewers::until(drained.clone()),
            recorder: recorder.clone(),
            leaving: shutdown.clone(),
        });
        let mut running = Self {
            gateway_at: None,
            admin_at: admin.local_addr().ok(),
            room: Room::new(config.gateway.max_streams),
            election: None,
            memory: Memory::default(),
            refused,
            started: Instant::now(),
            member: Group::within(shutdown),
            follower: Group::within(shutdown),
            gateway: Group::within(shutdown),
            admin: Group::within(&drained),
            upkeep: Group::within(shutdown),
            shutdown: shutdown.clone(),
            config,
            role,
            store,
            clock,
            hub,
            recorder,
            traces,
            more_routes,
            polling,
            told,
            drained,
        };
        running.announce_start(gateway.as_ref());
        running.join();
        running.follow();
        if let Some(listener) = gateway {
            running.serve_clients(listener);
        }
        running.serve_operators(admin);
        let source = running.source();
        running.admin.spawn(admin::inform_viewers(source));
        if let Some(recorder) = running.recorder.clone() {
            let token = running.upkeep.token();
            running.upkeep.spawn(keep_tidy(recorder, token));
        }
        Ok(running)
    }

    /// Waits for the first part that ends, as none does by itself.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        let Self { member, follower, gateway, admin, upkeep, .. } = self;
        first_ended([member, follower, gateway, admin, upkeep]).await
    }

    /// Hands over and ends streams, within the drain time.
    pub(super) async fn drain(mut self) {
        tracing::info!("leaving: handing over and ending streams");
        let drain = self.config.drain;
        let deadline = Instant::now() + drain;
        let Self { member, follower, gateway, upkeep, .. } = &mut self;
        let ends = tokio::join!(
            member.end(deadline),
            follower.end(deadline),
            gateway.end(deadline),
            upkeep.end(deadline)
        );
        if ends != (true, true, true, true) {
            tracing::warn!(?drain, "not done within the drain time: leaving anyway");
        }
        self.drained.cancel();
        self.admin.end(deadline).await;
        tracing::info!("left");
    }

    /// Begins to compete for the lease, and to say that it is there.
    fn join(&mut self) {
        let (endpoint, polls) = (self.config.endpoints[0].name.clone(), self.role.polls());
        let token = self.member.token();
        let store = Arc::clone(&self.store);
        self.member.spawn(preflight::keep(store, endpoint, polls, token.clone()));
        self.election = None;
        if let Some(polling) = &self.polling {
            let poller = Poller::new(Arc::clone(&self.store), polling.plans.subscribe())
                .recording(Arc::clone(&polling.journal))
                .tracing(self.traces.clone());
            let identity =
                Identity { replica: self.config.replica.clone(), address: self.address() };
            let (store, lease) = (Arc::clone(&self.store), self.config.lease);
            let elector = Elector::new(store, self.clock, lease, identity, poller, token.clone());
            let elector =
                elector.remembering(self.memory.clone()).leaving_with(self.shutdown.clone());
            self.election = Some(elector.view());
            self.member.spawn(elector.run());
        }
        let journal = self.polling.as_ref().map(|polling| Arc::clone(&polling.journal));
        let attendance =
            Attendance::new(Arc::clone(&self.store), self.presence(), self.election.clone())
                .counting(self.hub.clone(), journal, self.started)
                .telling(self.refused.clone());
        let reachability = self.polling.as_ref().map(|polling| polling.reachability.subscribe());
        self.member.spawn(attendance.keep(reachability, token));
        self.tell();
    }

    /// Hands over, and joins anew with the present configuration.
    pub(super) async fn rejoin(&mut self) {
        let seen = self.election.as_ref().is_some_and(|election| election.borrow().store_seen);
        self.memory.store_seen |= seen;
        self.member.end(Instant::now() + self.config.drain).await;
        self.member = Group::within(&self.shutdown);
        self.join();
    }

    fn follow(&mut self) {
        if let Some(hub) = &self.hub {
            let (hub, store) = (Arc::clone(hub), Arc::clone(&self.store));
            let token = self.follower.token();
            self.follower.spawn(async move { hub.follow(store, token).await });
        }
    }

    /// Follows another store. What clients have, and wait for, stays.
    pub(super) async fn refollow(&mut self) {
        self.follower.end(Instant::now() + LAST_BYTES).await;
        self.follower = Group::within(&self.shutdown);
        self.follow();
    }

    fn serve_clients(&mut self, listener: TcpListener) {
        self.gateway_at = listener.local_addr().ok();
        if let Some(hub) = &self.hub {
            let token = self.gateway.token();
            let state = GatewayState::new(Arc::clone(hub), self.room.clone(), token.clone());
            let routes = gateway::router(state).merge(self.more_routes.clone());
            let grace = self.config.drain.min(LAST_BYTES);
            self.gateway.spawn(http::serve(listener, routes, grace, token));
        }
    }

    /// Serves clients elsewhere; those it has are told to connect again.
    pub(super) async fn serve_clients_at(&mut self, listener: TcpListener) {
        self.gateway.end(Instant::now() + LAST_BYTES * 2).await;
        self.gateway = Group::within(&self.shutdown);
        self.serve_clients(listener);
    }

    fn serve_operators(&mut self, listener: TcpListener) {
        self.admin_at = listener.local_addr().ok();
        let routes = admin::router(self.source());
        self.admin.spawn(http::serve(listener, routes, LAST_GLANCE, self.admin.token()));
    }

    /// Serves operators elsewhere; those who look have to ask there.
    pub(super) async fn serve_operators_at(&mut self, listener: TcpListener) {
        self.admin.end(Instant::now() + LAST_GLANCE * 2).await;
        self.admin = Group::within(&self.drained);
        self.serve_operators(listener);
        let source = self.source();
        self.admin.spawn(admin::inform_viewers(source));
    }

    /// Prepares to poll other endpoints; `None` on a replica that does not poll.
    pub(super) fn fetcher(
        &self,
        endpoints: &[EndpointConfig],
    ) -> Result<Option<Fetcher>, FetcherError> {
        let Some(polling) = &self.polling else { return Ok(None) };
        polling.plans.borrow().fetcher().succeeded_by(endpoints).map(Some)
    }

    /// Where clients and operators are served; those with a port that the system chose too.
    pub(super) fn ports(&self) -> [Option<u16>; 2] {
        [self.gateway_at, self.admin_at].map(|at| at.map(|at| at.port()))
    }

    /// Polls and serves the endpoints of the present configuration from now on.
    pub(super) fn replan(&self, fetcher: Option<Fetcher>) {
        let Config { cluster, endpoints, history, .. } = &*self.config;
        if let (Some(polling), Some(fetcher)) = (&self.polling, fetcher) {
            let next = polling.plans.borrow().succeeded_by(fetcher, cluster, endpoints, *history);
            polling.plans.send_replace(Arc::new(next));
            polling.reachability.send_replace(Arc::new(Reachability::new(endpoints)));
        }
        if let Some(hub) = &self.hub {
            hub.reconfigure(endpoints);
        }
    }

    pub(super) fn resize(&self) {
        self.room.resize(self.config.gateway.max_streams);
    }

    /// Tells the admin server what there is now.
    pub(super) fn tell(&self) {
        self.told.send_modify(|told| {
            told.config = Arc::clone(&self.config);
            told.store = Arc::clone(&self.store);
            told.election.clone_from(&self.election);
        });
    }

    fn source(&self) -> AdminSource {
        AdminSource::new(self.told.subscribe())
    }

    pub(super) fn serves(&self) -> bool {
        self.role.serves()
    }

    /// Where others reach the admin server: as configured, with the port that it got.
    fn address(&self) -> String {
        let address = &self.config.address;
        match (address.strip_suffix(":0"), self.admin_at) {
            (Some(host), Some(bound)) => format!("{host}:{}", bound.port()),
            _ => address.clone(),
        }
    }

    fn presence(&self) -> Presence {
        Presence {
            replica: self.config.replica.clone(),
            address: self.address(),
            role: self.role.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Presence::default()
        }
    }

    fn announce_start(&self, gateway: Option<&TcpListener>) {
        let gateway = gateway.and_then(|listener| listener.local_addr().ok());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            cluster = %self.config.cluster,
            replica = self.config.replica,
            role = %self.role,
            endpoints = self.config.endpoints.len(),
            gateway = gateway.map(|at| at.to_string()),
            admin = self.admin_at.map(|at| at.to_string()),
            "pollux starts"
        );
    }
}

impl PollingParts {
    fn new(config: &Config) -> Result<Self, AppError> {
        let fetcher = Fetcher::new(&config.endpoints)?;
        let plan = Plan::new(fetcher, &config.cluster, &config.endpoints, config.history);
        Ok(Self {
            plans: watch::Sender::new(Arc::new(plan)),
            reachability: watch::Sender::new(Arc::new(Reachability::new(&config.endpoints))),
            journal: Arc::default(),
        })
    }
}

async fn keep_tidy(recorder: Recorder, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(sleep(UPKEEP)).await.is_some() {
        recorder.upkeep();
    }
}
