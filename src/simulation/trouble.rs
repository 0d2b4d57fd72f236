//! What goes wrong in the life of a cluster.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::sleep;

use super::backend::some_endpoints;
use super::faults::{outage, partition, weather};
use super::replicas::Host;
use super::world::{Family, GATEWAYS, REPLICAS, World};
use crate::model::Announcement;
use crate::store::{Channel, Store as _};

/// How many things happen in a life.
const EVENTS: usize = 10;

impl World {
    pub(super) async fn live(&mut self) {
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
        let what = self.rng.u8(0..20);
        tracing::info!(what, "something happens");
        match what {
            0..13 => self.befall_host(what, percent),
            18.. => self.reconfigure_a_host(),
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
            let asked = Announcement::StepDown { term: self.ground.term(), abdicates: false };
            self.server.announce(&asked).await.unwrap();
            self.ground.count(|counts| counts.step_downs += 1);
        }
    }

    /// A host gets another configuration before the others, or has the old one back.
    fn reconfigure_a_host(&mut self) {
        let endpoints = some_endpoints(&mut self.rng);
        self.host().reconfigure(endpoints);
        self.ground.count(|counts| counts.reconfigurations += 1);
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
                self.server_came_back = true;
            }
        }
        // One clock in four is behind, by less than a life lasts or more.
        if self.rng.u8(0..4) == 0 {
            self.server.turn_clock_back(Duration::from_millis(self.rng.u64(0..20_000)));
            self.clocks_agree = false;
        }
        self.ground.count(|counts| counts.servers += 1);
    }

    pub(super) async fn live_calmly(&mut self) {
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
}

/// Lets the present or the next process of a host crash at a random await, sooner rather than
/// later: much of what can be interrupted happens near the start.
fn crash_some_time(host: &Host, rng: &mut Rng) {
    let most = 2_u64.pow(rng.u32(1..11));
    host.control.crash_after(rng.u64(1..=most));
}
