//! What may go wrong, and how often.

use crate::cluster::{Cluster, State};
use crate::publisher::Flight;
use crate::reader::Gateway;
use crate::replica::{Liveness, Replica, Role};
use crate::server::Data;

/// How often each may happen; in a state, how often it still may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Only one of the replicas ever runs.
    pub alone: bool,
    /// Of everything below but the changes, taken together.
    pub faults: u8,
    /// The backend's body changes, from one to the other and back.
    pub changes: u8,
    /// A process dies, and another starts.
    pub crashes: u8,
    /// A process stops; it may go on at any time.
    pub freezes: u8,
    /// A batch in flight has no answer in time, and may arrive whenever.
    pub delays: u8,
    /// The answer to a claim is lost.
    pub lost_claims: u8,
    /// A lease ends though its holder is awake.
    pub expiries: u8,
    /// A leader gives its lease back.
    pub releases: u8,
    /// Redis loses its data, under the same run id.
    pub flushes: u8,
    /// Redis restarts, with its data or without.
    pub restarts: u8,
    /// The other server takes over with what it has.
    pub failovers: u8,
    /// The server that is replaced is gone; else it lives on for those connected to it.
    pub gone: bool,
    /// That server's clock may be behind.
    pub behind: bool,
    /// The server that was replaced becomes a replica of the one that replaced it.
    pub rejoins: u8,
    /// A leader's liveness connection is lost, for less than 50 ms or for more.
    pub lost_liveness: u8,
    /// A gateway's connections are lost.
    pub lost_subscriptions: u8,
    /// The client goes to another gateway.
    pub moves: u8,
    /// Beats. They are no faults, but bounded like them.
    pub beats: u8,
}

impl Bounds {
    /// Nothing happens but the first poll.
    pub const NONE: Self = Self {
        alone: false,
        faults: 0,
        changes: 0,
        crashes: 0,
        freezes: 0,
        delays: 0,
        lost_claims: 0,
        expiries: 0,
        releases: 0,
        flushes: 0,
        restarts: 0,
        failovers: 0,
        gone: false,
        behind: false,
        rejoins: 0,
        lost_liveness: 0,
        lost_subscriptions: 0,
        moves: 0,
        beats: 0,
    };

    /// Whether a probe could find anything: liveness channels matter only then.
    pub fn probing(&self) -> bool {
        self.crashes + self.lost_liveness > 0
    }
}

/// What no replica or gateway does of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Change,
    Crash(usize),
    Freeze(usize),
    Wake(usize),
    Delay(usize),
    LoseClaimAnswer(usize),
    Expire(usize),
    Release(usize),
    Flush,
    Restart { keeps_data: bool },
    Replicate,
    FailOver { behind: bool },
    Rejoin,
    LoseLiveness { of: usize, long: bool },
    LoseSubscription(usize),
    Move,
    Beat(usize),
}

impl Fault {
    /// All there are, possible or not.
    pub fn all(bounds: &Bounds, gateways: usize) -> impl Iterator<Item = Self> {
        let each = |r: usize| {
            [
                Self::Crash(r),
                Self::Freeze(r),
                Self::Wake(r),
                Self::Delay(r),
                Self::LoseClaimAnswer(r),
                Self::Expire(r),
                Self::Release(r),
                Self::LoseLiveness { of: r, long: false },
                Self::LoseLiveness { of: r, long: true },
                Self::Beat(r),
            ]
        };
        let once = [
            Self::Change,
            Self::Flush,
            Self::Restart { keeps_data: true },
            Self::Restart { keeps_data: false },
            Self::Replicate,
            Self::FailOver { behind: false },
            Self::Rejoin,
            Self::Move,
        ];
        let behind = bounds.behind.then_some(Self::FailOver { behind: true });
        let subscriptions = (0..gateways).map(Self::LoseSubscription);
        [0, 1].into_iter().flat_map(each).chain(once).chain(behind).chain(subscriptions)
    }

    /// How often it still may happen.
    fn left(self, left: &mut Bounds) -> Option<&mut u8> {
        Some(match self {
            Self::Change => &mut left.changes,
            Self::Crash(_) => &mut left.crashes,
            Self::Freeze(_) => &mut left.freezes,
            Self::Delay(_) => &mut left.delays,
            Self::LoseClaimAnswer(_) => &mut left.lost_claims,
            Self::Expire(_) => &mut left.expiries,
            Self::Release(_) => &mut left.releases,
            Self::Flush => &mut left.flushes,
            Self::Restart { .. } => &mut left.restarts,
            Self::FailOver { .. } => &mut left.failovers,
            Self::Rejoin => &mut left.rejoins,
            Self::LoseLiveness { .. } => &mut left.lost_liveness,
            Self::LoseSubscription(_) => &mut left.lost_subscriptions,
            Self::Move => &mut left.moves,
            Self::Beat(_) => &mut left.beats,
            Self::Wake(_) | Self::Replicate => return None,
        })
    }
}

impl State {
    /// Lets a fault happen if it still may. `false`: it may not.
    pub fn suffer(&mut self, model: &Cluster, fault: Fault) -> bool {
        let free = matches!(fault, Fault::Change | Fault::Beat(_));
        if let Some(left) = fault.left(&mut self.left) {
            if *left == 0 || (!free && self.left.faults == 0) {
                return false;
            }
            *fault.left(&mut self.left).unwrap_or(&mut 0) -= 1;
            self.left.faults -= u8::from(!free);
        }
        match fault {
            Fault::Change => self.backend = 3 - self.backend,
            Fault::Crash(r) if r > 0 && model.bounds.alone => return false,
            Fault::Crash(r) => self.crash(r),
            Fault::Freeze(r) => return self.freeze(r),
            Fault::Wake(_) if model.bounds.freezes == 0 => return false,
            Fault::Wake(r) => return std::mem::take(&mut self.replicas[r].frozen),
            Fault::Delay(r) => {
                let before = self.replicas[r];
                self.time_out(r);
                return self.replicas[r] != before;
            }
            Fault::LoseClaimAnswer(r) => {
                let unclaimed = matches!(self.replicas[r].role, Role::Acquired { .. });
                self.claim(model, r, false);
                return unclaimed && !self.replicas[r].frozen;
            }
            Fault::Expire(server) => {
                return std::mem::take(&mut self.servers[server].data.lease) != 0;
            }
            Fault::Release(r) => {
                let leads = matches!(self.replicas[r].role, Role::Leading(_));
                self.give_back(r);
                return leads && !self.replicas[r].frozen;
            }
            Fault::Flush => {
                let data = &mut self.servers[self.address].data;
                let Data { highest, excused, last_beat, .. } = *data;
                *data = Data { highest, excused, last_beat, ..Data::default() };
            }
            Fault::Restart { keeps_data } => self.restart(keeps_data),
            Fault::Replicate => {
                let follows = self.other_follows && self.left.failovers > 0 && self.left.faults > 0;
                return follows && self.replicate();
            }
            Fault::FailOver { behind } => self.fail_over(model, behind),
            Fault::Rejoin => {
                let replaced = !std::mem::replace(&mut self.other_follows, true);
                self.disconnect(1 - self.address);
                self.replicate();
                return replaced;
            }
            Fault::LoseLiveness { of, long } => return self.lose_liveness(of, long),
            Fault::LoseSubscription(gateway) => self.gateways[gateway].lose_subscription(),
            Fault::Move if self.gateways.len() > 1 => self.go_elsewhere(model),
            Fault::Move => return false,
            Fault::Beat(r) => return !self.replicas[r].frozen && self.beat(r),
        }
        true
    }

    fn freeze(&mut self, r: usize) -> bool {
        let Replica { liveness, frozen, .. } = &mut self.replicas[r];
        if let Liveness::Away { long } = liveness {
            *long = true;
        }
        !std::mem::replace(frozen, true)
    }

    /// A frozen replica is not back soon.
    fn lose_liveness(&mut self, r: usize, long: bool) -> bool {
        let Replica { liveness, frozen, .. } = &mut self.replicas[r];
        let open = matches!(liveness, Liveness::Open(_));
        *liveness = Liveness::Away { long };
        open && (long || !*frozen)
    }

    /// Every connection to a server breaks, with what was on its way.
    fn disconnect(&mut self, server: usize) {
        for replica in &mut self.replicas {
            let Replica { lease_link, publish_link, liveness, suspicion, .. } = replica;
            for link in [lease_link, publish_link] {
                *link = link.filter(|link| *link != server);
            }
            if *liveness == Liveness::Open(server) {
                *liveness = Liveness::Away { long: true };
            }
            *suspicion = suspicion.filter(|suspicion| suspicion.server != server);
        }
        self.gateways
            .iter_mut()
            .filter(|gateway| gateway.listens_to(server))
            .for_each(Gateway::lose_subscription);
        for r in [0, 1] {
            let lost = |flight: &Flight| flight.server == server && flight.awaited_by == Some(r);
            if self.flights.iter().any(lost) {
                self.time_out(r);
            }
        }
        self.flights.retain(|flight| flight.server != server);
    }

    fn restart(&mut self, keeps_data: bool) {
        self.disconnect(self.address);
        let run_id = self.new_run_id();
        let server = &mut self.servers[self.address];
        server.run_id = run_id;
        if !keeps_data {
            server.data = Data::default();
        }
    }

    /// The other server gets everything. `false`: it has it.
    fn replicate(&mut self) -> bool {
        let data = self.servers[self.address].data;
        std::mem::replace(&mut self.servers[1 - self.address].data, data) != data
    }

    /// The other server takes over, with what was replicated; the first goes on for those that
    /// are connected to it.
    fn fail_over(&mut self, model: &Cluster, behind: bool) {
        self.address = 1 - self.address;
        self.other_follows = false;
        self.servers[self.address].behind = behind;
        if model.bounds.gone {
            self.disconnect(1 - self.address);
        }
    }

    fn new_run_id(&mut self) -> u8 {
        self.last_run_id += 1;
        self.last_run_id
    }
}
