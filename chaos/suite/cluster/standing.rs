//! Who leads, and how far it got: by Redis, and waiting for it.

use std::collections::HashMap;
use std::time::Duration;

use pollux::model::Version;

use super::waiting::holds;
use super::{Cluster, Replica, Server, key};
use crate::backend::ENDPOINTS;
use crate::history::{Event, Function, Kind};
use crate::publication::Publication;
use crate::run::{Outcome, Unknown};

/// What the harness allows beside two lease durations: as long as the slowest fault of a pair lasts.
const PATIENCE: Duration = Duration::from_secs(50);
/// How long nothing is published where replicas cannot: three intervals of the fastest endpoint.
const SILENCE: Duration = Duration::from_millis(300);

/// The record of a server whose lease is there.
pub(super) struct Standing {
    pub(super) term: u64,
    pub(super) replica: String,
    alive: bool,
    run_id: String,
}

impl Standing {
    /// `None`: nobody leads here, or the server does not answer.
    pub(super) async fn at(server: &Server) -> Option<Self> {
        let leased: u64 = server.command(&["EXISTS", &key("lease")]).await.ok()?;
        let record: HashMap<String, String> =
            server.command(&["HGETALL", &key("leader")]).await.ok()?;
        let field = |name: &str| record.get(name).filter(|value| !value.is_empty());
        (leased == 1 && field("lease").is_some()).then_some(())?;
        Some(Self {
            term: field("term")?.parse().ok()?,
            replica: field("replica")?.clone(),
            alive: field("alive").is_some(),
            run_id: field("run_id").cloned().unwrap_or_default(),
        })
    }
}

impl Cluster {
    /// The record of the primary, while somebody leads there.
    pub(super) async fn standing(&self) -> Option<Standing> {
        Standing::at(self.redis.primary().await.ok()?).await
    }

    fn named(&self, standing: &Standing) -> Option<&Replica> {
        self.pollers.iter().find(|replica| replica.name() == standing.replica)
    }

    /// The replica that leads, by the record and the lease on the primary.
    ///
    /// # Errors
    /// When nobody does, for two lease durations.
    pub(crate) async fn leader(&self) -> Outcome<&Replica> {
        holds(self.timing.lease() * 2, "somebody leads", || async {
            self.named(&self.standing().await?)
        })
        .await
    }

    /// The other pollers, those that run.
    pub(crate) async fn standbys(&self) -> Outcome<Vec<&Replica>> {
        let leader = self.leader().await?.name();
        let others = self.pollers.iter().filter(|replica| replica.name() != leader);
        Ok(others.filter(|replica| replica.is_running()).collect())
    }

    /// Waits until another replica than this has claimed, and polls.
    pub(crate) async fn until_leads_other_than(&self, former: &str) -> Outcome<&Replica> {
        self.until_leads_other_than_within(former, self.patience()).await
    }

    /// The same with another deadline.
    pub(crate) async fn until_leads_other_than_within(
        &self,
        former: &str,
        within: Duration,
    ) -> Outcome<&Replica> {
        let since = self.history.now();
        let what = format!("another than {former} leads and polls");
        holds(within, &what, || async {
            let leader = self.named(&self.standing().await?)?;
            let polls = self.backend.polls_since(since);
            let has_polled = polls.iter().any(|poll| poll.by == leader.name());
            (leader.name() != former && has_polled).then_some(leader)
        })
        .await
    }

    /// Waits until somebody has claimed on this very server, and holds the lease there.
    pub(crate) async fn until_leads_at(&self, server: &Server) -> Outcome<&Replica> {
        let what = format!("somebody leads at {}", server.name());
        holds(self.patience(), &what, || async {
            let standing = Standing::at(server).await?;
            let run_id = server.info("server", "run_id").await.ok()?;
            (standing.run_id == run_id).then(|| self.named(&standing)).flatten()
        })
        .await
    }

    /// Waits until the leader's crash could be seen by probes.
    pub(crate) async fn until_alive(&self) -> Outcome<()> {
        holds(self.patience(), "the leader is heard to be alive", || async {
            self.standing().await?.alive.then_some(())
        })
        .await
    }

    /// Waits until snapshots can be asked for: a server of a Redis Cluster that was restarted answers no
    /// questions about keys for two seconds.
    pub(crate) async fn until_redis_answers(&self) -> Outcome<()> {
        let answers = || async { self.versions().await.ok().map(drop) };
        holds(self.patience(), "Redis answers", answers).await
    }

    /// Waits until every endpoint is published anew, from now on, by whoever leads. Where contents are held
    /// as they are, nothing is.
    pub(crate) async fn until_published(&self) -> Outcome<()> {
        let within = self.patience();
        let before = || async { self.versions().await.ok() };
        let before = holds(within, "snapshots can be read", before).await?;
        holds(within, "every endpoint is published", || async {
            if self.backend.is_held() {
                return Some(());
            }
            let now = self.versions().await.ok()?;
            // What was not there before is below anything.
            let is_new = |endpoint: &str| {
                now.contains_key(endpoint) && now.get(endpoint) > before.get(endpoint)
            };
            ENDPOINTS.into_iter().all(is_new).then_some(())
        })
        .await
    }

    /// Waits until nothing more is published, since no replica that could is heard at Redis.
    pub(crate) async fn until_silent(&self) -> Outcome<()> {
        holds(self.patience(), "Redis hears nothing", || async {
            let before = self.versions().await.ok()?;
            tokio::time::sleep(SILENCE).await;
            (self.versions().await.ok()? == before).then_some(())
        })
        .await?;
        self.landed(&format!("nothing was published for {} ms", SILENCE.as_millis()));
        Ok(())
    }

    /// Waits until the rules of a node have lost packets since the last of them came, which shows that
    /// they are effective.
    pub(crate) async fn until_dropped(&self, node: &str) -> Outcome<()> {
        let what = format!("packets of {node} are lost");
        let lost = holds(self.patience(), &what, || async {
            self.net.dropped(node).await.ok().filter(|lost| *lost > 0)
        });
        let lost = lost.await?;
        self.landed(&format!("{lost} packets of {node} were lost"));
        Ok(())
    }

    /// Waits until a replica has read its wall clock once more, as it is set by now: it dates its answers.
    pub(crate) async fn until_wall_clock_read(&self, replica: &Replica) -> Outcome<()> {
        let clock = replica.clock()?;
        let before = clock.wall_calls();
        let what = format!("{} reads its wall clock", replica.name());
        let read = || async {
            replica.metrics().await.ok()?;
            (clock.wall_calls() > before).then_some(())
        };
        holds(self.patience(), &what, read).await
    }

    /// The version of each endpoint's snapshot on the primary.
    pub(super) async fn versions(&self) -> Outcome<HashMap<String, Version>> {
        let snapshots = self.snapshots().await?;
        Ok(snapshots.into_iter().map(|each| (each.endpoint, each.version)).collect())
    }

    /// The snapshots on the primary.
    pub(super) async fn snapshots(&self) -> Outcome<Vec<Publication>> {
        let server = self.redis.primary().await?;
        let keys = ENDPOINTS.map(|endpoint| key(&format!("snapshot:{endpoint}")));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let texts: Vec<Option<Vec<u8>>> = server.command(&[&["MGET"], &keys[..]].concat()).await?;
        texts.iter().flatten().map(|text| Ok(Publication::read(text)?)).collect()
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// When it does not in time: says `what` it was.
    pub(crate) async fn holds<T, F>(
        &self,
        within: Duration,
        what: &str,
        condition: impl FnMut() -> F,
    ) -> Outcome<T>
    where
        F: Future<Output = Option<T>>,
    {
        holds(within, what, condition).await
    }

    /// Lets time pass: how long a fault lasts is a part of it.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Notes that a fault is made now. Call it right before.
    pub(crate) fn begins(&self, what: &str) {
        self.mark(Kind::Invoke, what);
    }

    /// Notes what shows that the fault has landed.
    pub(crate) fn landed(&self, proof: &str) {
        self.mark(Kind::Ok, proof);
    }

    /// Notes that the fault is over. Call it right after.
    pub(crate) fn healed(&self, what: &str) {
        self.mark(Kind::Info, what);
    }

    fn mark(&self, kind: Kind, note: &str) {
        self.history.record(Event::new("harness", kind, Function::Fault).note(note));
    }

    pub(super) fn patience(&self) -> Duration {
        self.timing.lease() * 2 + PATIENCE
    }

    /// Waits until all that a run begins with is there.
    pub(super) async fn until_up(&self) -> Outcome<()> {
        self.until_alive().await?;
        self.until_published().await?;
        let within = PATIENCE + Duration::from_millis(10) * u32::try_from(self.layout.crowd)?;
        let level = holds(within, "every reader has every endpoint", || async {
            let newest = self.versions().await.ok()?;
            let some = newest.into_keys().map(|endpoint| (endpoint, Version::new(0, 1))).collect();
            self.readers.behind(&some).is_empty().then_some(())
        });
        level.await.map_err(|Unknown(why)| {
            let readers = self.readers.held().into_iter().filter(|(_, held)| held.len() < 4);
            let some: Vec<String> = readers.map(|(name, _)| name).take(5).collect();
            Unknown(format!("{why}; not {}", some.join(", ")))
        })
    }
}
