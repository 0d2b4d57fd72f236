use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::select;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Order;
use super::counters::{conflated, resync};
use super::freshness::Check;
use super::snapshot::Snapshot;
use super::{Hub, gauges};
use crate::backoff::Backoff;
use crate::model::{Beat, EndpointName, Gone, InvalidPublication, Publication, Update, Version};
use crate::store::{Channel, Reading, Store, StoreError, Subscription};

/// How long the channel may be silent: three beats.
const SILENCE: Duration = Duration::from_secs(3);
/// How long after the message before it a beat is late. What it tells of then waited somewhere, and
/// the store knows better how old it is.
const LATE: Duration = Duration::from_millis(1200);
/// The longest wait from one try to subscribe to the next.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often ages are compared with their limits.
const TICK: Duration = Duration::from_millis(50);
/// How many ticks pass from one update of the gauges to the next.
const TICKS_PER_GAUGES: u32 = 20;

/// Why the store has to be read again.
#[derive(Debug)]
pub(super) enum Break {
    /// A publication was missed.
    Gap,
    /// Another leadership publishes.
    NewTerm,
    /// A beat tells of a publication that did not arrive.
    Behind,
    /// A message was not of the published format.
    Undecodable(InvalidPublication),
    /// The subscription ended.
    Lost,
    /// Three beats were missed.
    Silent,
    /// A beat was late: the checks that it tells of may be old.
    Late,
    /// There are endpoints that were not read yet.
    Reconfigured,
}

impl Break {
    /// The names of all in metrics.
    pub(super) const CAUSES: [&str; 8] =
        ["gap", "term", "behind", "undecodable", "lost", "silent", "late", "reload"];

    /// The name in metrics.
    fn as_str(&self) -> &'static str {
        let [gap, term, behind, undecodable, lost, silent, late, reload] = Self::CAUSES;
        match self {
            Self::Gap => gap,
            Self::NewTerm => term,
            Self::Behind => behind,
            Self::Undecodable(_) => undecodable,
            Self::Lost => lost,
            Self::Silent => silent,
            Self::Late => late,
            Self::Reconfigured => reload,
        }
    }

    /// Whether the subscription cannot be relied on any more.
    fn ends_subscription(&self) -> bool {
        matches!(self, Self::Behind | Self::Lost | Self::Silent)
    }
}

/// Logs the beginning and the end of an outage, not each try within it.
#[derive(Debug, Default)]
enum Outage {
    #[default]
    None,
    /// The store does not answer.
    Store,
    /// The store answers, but no leader publishes.
    Silence,
}

impl Outage {
    fn store_failed(&mut self, error: &dyn std::fmt::Display) {
        if !matches!(self, Self::Store) {
            warn!(%error, "gateway cannot follow the store: it serves what it holds and tries again");
            *self = Self::Store;
        }
    }

    fn silent(&mut self) {
        if matches!(self, Self::None) {
            warn!(
                seconds = SILENCE.as_secs(),
                "no beat from a leader: gateway serves what it holds"
            );
            *self = Self::Silence;
        }
    }

    fn store_answered(&mut self) {
        if matches!(self, Self::Store) {
            info!("gateway follows the store again");
            *self = Self::None;
        }
    }

    fn heard(&mut self) {
        if matches!(self, Self::Silence) {
            info!("gateway hears a leader again");
            *self = Self::None;
        }
    }
}

impl Hub {
    /// Follows a store until `shutdown`, through whatever outages.
    ///
    /// It subscribes, reads, passes on the snapshots up to the record's version, and then what
    /// Pub/Sub brings beyond it. Whatever may have been missed makes it read again. A hub follows
    /// one store, once.
    pub async fn follow(&self, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let both = async { tokio::join!(self.stay_subscribed(&*store), self.watch_ages()) };
        shutdown.run_until_cancelled(both).await;
    }

    /// Subscribes again whenever a subscription has ended.
    async fn stay_subscribed(&self, store: &dyn Store) {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        let mut outage = Outage::default();
        loop {
            match self.subscription(store, &mut backoff, &mut outage).await {
                Ok(end) => {
                    resync(end.as_str());
                    if matches!(end, Break::Silent) {
                        outage.silent();
                    } else {
                        outage.store_failed(&"the subscription ended");
                    }
                }
                Err(error) => outage.store_failed(&error),
            }
            sleep(backoff.wait()).await;
        }
    }

    /// One subscription: reads again after each break until it ends itself.
    async fn subscription(
        &self,
        store: &dyn Store,
        backoff: &mut Backoff,
        outage: &mut Outage,
    ) -> Result<Break, StoreError> {
        let mut messages = store.subscribe(Channel::Updates).await?;
        loop {
            let asked = Instant::now();
            let names = self.board.read().names();
            let reading = store.read(&names).await?;
            self.pass_on_reading(reading, asked);
            self.note_reading(&names);
            outage.store_answered();
            let found = self.listen(&mut messages, backoff, outage).await;
            if found.ends_subscription() {
                return Ok(found);
            }
            if let Break::Undecodable(error) = &found {
                warn!(%error, "a message on the updates channel cannot be read: gateway reads the store again");
            }
            resync(found.as_str());
            sleep(backoff.wait()).await;
        }
    }

    /// Passes on messages until something may have been missed.
    async fn listen(
        &self,
        messages: &mut Subscription,
        backoff: &mut Backoff,
        outage: &mut Outage,
    ) -> Break {
        let mut last = Instant::now();
        loop {
            let message = select! {
                biased;
                () = self.reconfigured.notified() => return Break::Reconfigured,
                message = timeout(SILENCE, messages.next()) => match message {
                    Ok(Some(message)) => message,
                    Ok(None) => return Break::Lost,
                    Err(_) => return Break::Silent,
                },
            };
            outage.heard();
            if last.elapsed() > LATE {
                return Break::Late;
            }
            last = Instant::now();
            if let Err(found) = self.hear(message) {
                return found;
            }
            backoff.reset();
        }
    }

    /// Passes on one message, or tells what is missing before it.
    pub(super) fn hear(&self, message: Bytes) -> Result<(), Break> {
        let arrived = Instant::now();
        match Update::decode(message).map_err(Break::Undecodable)? {
            Update::Publication(publication) => self.pass_on(publication, arrived),
            Update::Beat(beat) => self.note_beat(&beat),
            Update::Gone(gone) => self.take_leave(&gone),
        }
    }

    /// Whether a version is the one after the position; one that was passed on is none to wait for.
    fn is_next(&self, version: Version) -> Result<bool, Break> {
        match Order::of(version, self.version()) {
            Order::Known => Ok(false),
            Order::Next => Ok(true),
            Order::Gap => Err(Break::Gap),
            Order::NewTerm => Err(Break::NewTerm),
        }
    }

    /// Passes on the publication that follows the position.
    fn pass_on(&self, publication: Publication, arrived: Instant) -> Result<(), Break> {
        let version = publication.version;
        if !self.is_next(version)? {
            return Ok(());
        }
        // The event is made before the board is locked for writing.
        let snapshot = Arc::new(Snapshot::arrived_at(publication, arrived));
        let now = Instant::now();
        let mut board = self.board.write();
        board.position = version;
        // Others may have endpoints that this gateway does not know: they count as passed on.
        let Some(entry) = board.configured(&snapshot.publication().endpoint) else {
            return Ok(());
        };
        let replaced = entry.take(snapshot);
        entry.checked(version.term, Check::new(Duration::ZERO, now), now);
        drop(board);
        conflated(replaced);
        Ok(())
    }

    /// Passes on that an endpoint is gone.
    fn take_leave(&self, gone: &Gone) -> Result<(), Break> {
        if self.is_next(gone.version)? {
            let mut board = self.board.write();
            board.position = gone.version;
            if let Some(entry) = board.configured(&gone.endpoint) {
                entry.depart(gone.version);
            }
        }
        Ok(())
    }

    /// Notes which endpoints were checked, and whether this hub is as far as the leader.
    fn note_beat(&self, beat: &Beat) -> Result<(), Break> {
        let now = Instant::now();
        let mut board = self.board.write();
        for name in &beat.checked {
            if let Some(entry) = board.configured(name) {
                entry.checked(beat.last.term, Check::new(Duration::ZERO, now), now);
            }
        }
        match Order::of(beat.last, board.position) {
            Order::Known => Ok(()),
            Order::NewTerm => Err(Break::NewTerm),
            Order::Next | Order::Gap => Err(Break::Behind),
        }
    }

    /// Passes on what was read: the snapshots up to the record's version. Pub/Sub brings the
    /// newer ones, for it was subscribed to before. Ages count from when the store was `asked`,
    /// so they are never taken for lower than they are.
    pub(super) fn pass_on_reading(&self, reading: Reading, asked: Instant) {
        let news = self.lacking(reading.snapshots, reading.version);
        let now = Instant::now();
        let mut board = self.board.write();
        let mut replaced = 0;
        for snapshot in news {
            if let Some(entry) = board.configured(&snapshot.publication().endpoint) {
                replaced += entry.take(snapshot);
            }
        }
        for (name, age) in reading.ages {
            if let Some(entry) = board.configured(&name) {
                entry.checked(reading.version.term, Check::new(age, asked), now);
            }
        }
        // A store that lost its newest publications is behind what was passed on: its order
        // counts from here, and what is older than the snapshots held is not taken.
        board.position = reading.version;
        board.ready = true;
        drop(board);
        conflated(replaced);
    }

    /// Notes for which endpoints the store was read.
    fn note_reading(&self, names: &[EndpointName]) {
        let mut board = self.board.write();
        for name in names {
            if let Some(entry) = board.configured(name) {
                entry.was_read();
            }
        }
    }

    /// Those of the snapshots up to `limit` that are newer than what is held. Their events are
    /// made before the board is locked for writing.
    fn lacking(&self, snapshots: Vec<Publication>, limit: Version) -> Vec<Arc<Snapshot>> {
        let lacking: Vec<_> = {
            let board = self.board.read();
            let wanted = |publication: &Publication| {
                publication.version <= limit
                    && board.lacks(&publication.endpoint, publication.version)
            };
            snapshots.into_iter().filter(wanted).collect()
        };
        lacking.into_iter().map(|publication| Arc::new(Snapshot::new(publication))).collect()
    }

    /// Tells subscribers when endpoints become stale, whether or not the store answers.
    async fn watch_ages(&self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in (0..TICKS_PER_GAUGES).cycle() {
            let now = ticks.tick().await;
            let mut board = self.board.write();
            for entry in board.entries.iter_mut().filter(|entry| entry.configured) {
                entry.tell_freshness(now);
            }
            drop(board);
            if tick == 0 {
                gauges::set(&self.board.read().entries, now);
            }
        }
    }
}
