//! What must hold once nothing goes wrong any more.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::backend::{endpoints, names};
use super::faults::LATEST;
use super::readers::STAY;
use super::replicas::{DOWN, Host};
use super::world::{Outcome, World};
use crate::store::{Reading, Store as _};

/// How long it takes until every endpoint has been polled, and every reader has what it brought.
const CAUGHT_UP: Duration = Duration::from_millis(1_500 + STAY);
/// How long a gateway takes to notice by itself that it hears nothing.
const SILENCE: Duration = Duration::from_millis(3_000);

impl World {
    /// Once nothing more goes wrong, one leads and publishes, and stays, and every reader gets
    /// everything.
    pub(super) async fn end_quietly(mut self) -> Outcome {
        tracing::info!("nothing more goes wrong");
        self.stall.end();
        for host in self.hosts() {
            host.control.spare();
            host.control.thaw();
            self.calm(host);
            host.reconfigure(endpoints());
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
        self.hosts().for_each(Host::close);
        while let Some(life) = timeout(self.lease.duration, self.lives.join_next()).await.unwrap() {
            life.unwrap();
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
        // A reader waits until terms have passed what it has, where they fell behind.
        if !self.clocks_agree && !self.ground.is_beyond_all(version.term) {
            return;
        }
        for reader in self.readers.drain(..) {
            let reader = reader.await.expect("does not panic");
            for held in &snapshots {
                let has = reader.has.get(held.endpoint.as_str());
                let newest = has.is_some_and(|(version, body)| {
                    // What was accepted elsewhere meanwhile may be newer, where a server came back
                    // and none that saw that leads now; it must be as good.
                    let newer = self.server_came_back && *version > held.version;
                    (newer || *version == held.version) && body == held.body.bytes()
                });
                if !newest {
                    self.ground.violated(format!("a reader has {has:?} in place of {held:?}"));
                }
            }
        }
    }
}
