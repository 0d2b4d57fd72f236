use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::select;
use tokio::time::{Instant, sleep};

use super::faulty::{Faulty, Witness};
use crate::election::{Duties, Leadership, Refutation};
use crate::model::{Body, EndpointName, Publication, Version};
use crate::store::{Batch, BatchItem, PollState, Published, Standing, Store};

/// How often a leader acts.
pub(super) const STEP: Duration = Duration::from_millis(10);
/// How often it publishes.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// What really happened, in the order in which it did.
#[derive(Default)]
pub(super) struct Ground {
    leaderships: Mutex<Vec<Event>>,
    acts: Mutex<Vec<Event>>,
    last_acts: Mutex<HashMap<usize, Event>>,
    publications: Mutex<Vec<(String, Version)>>,
}

/// Something that a replica did under a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Instant,
    pub(super) replica: usize,
    pub(super) term: u64,
}

impl Event {
    fn now(replica: usize, leadership: &Leadership) -> Self {
        Self { at: Instant::now(), replica, term: leadership.term() }
    }
}

impl Ground {
    /// Every leadership so far.
    pub(super) fn leaderships(&self) -> Vec<Event> {
        self.leaderships.lock().clone()
    }

    /// The last act of `replica`.
    pub(super) fn last_act(&self, replica: usize) -> Option<Event> {
        self.last_acts.lock().get(&replica).copied()
    }

    fn began(&self, leadership: Event) {
        self.leaderships.lock().push(leadership);
    }

    fn acted(&self, act: Event) {
        self.acts.lock().push(act);
        self.last_acts.lock().insert(act.replica, act);
    }

    /// Panics if two leaderships had the same term, or a later one a lower.
    pub(super) fn assert_terms_grow(&self) {
        let leaderships = self.leaderships();
        let grow = leaderships.is_sorted_by(|earlier, later| earlier.term < later.term);
        assert!(grow, "terms do not grow: {leaderships:#?}");
    }

    /// Panics if a replica acted under a term after another acted under a newer one.
    pub(super) fn assert_one_acts(&self) {
        for pair in self.acts.lock().windows(2) {
            assert!(pair[0].term <= pair[1].term, "two act at once: {pair:#?}");
        }
    }

    /// Panics if a server let publications take effect out of order, or one of them twice.
    pub(super) fn assert_published_in_order(&self) {
        for pair in self.publications.lock().windows(2) {
            let [(earlier_server, earlier), (later_server, later)] = pair else {
                unreachable!("windows of two");
            };
            assert!(
                earlier_server != later_server || earlier < later,
                "published {later} after {earlier}"
            );
        }
    }
}

impl Witness for Ground {
    fn accepted(&self, run_id: &str, batch: &Batch) {
        let versions = batch.items.iter().map(|item| item.publication.version);
        let mut publications = self.publications.lock();
        publications.extend(versions.map(|version| (run_id.to_owned(), version)));
    }
}

/// Acts whenever it may and publishes a counter whether it may or not: what is no longer in force
/// must be refused.
pub(super) struct Counter {
    replica: usize,
    store: Arc<Faulty>,
    ground: Arc<Ground>,
    /// The last that was accepted in the present leadership.
    sequence: u64,
}

impl Duties for Counter {
    async fn perform(&mut self, leadership: &Leadership) {
        let (ground, replica) = (Arc::clone(&self.ground), self.replica);
        ground.began(Event::now(replica, leadership));
        self.sequence = leadership.claim().sequence;
        select! {
            biased;
            () = leadership.winding_down() => {}
            () = act(&ground, replica, leadership) => {}
            () = self.publish_on(leadership) => {}
        }
        // Like a poll under way, it does not know that it is over: it asks whether it may act.
        select! {
            biased;
            () = self.publish(leadership) => {}
            () = act(&ground, replica, leadership) => {}
        }
    }
}

impl Counter {
    pub(super) fn new(replica: usize, store: Arc<Faulty>, ground: Arc<Ground>) -> Self {
        Self { replica, store, ground, sequence: 0 }
    }

    async fn publish_on(&mut self, leadership: &Leadership) {
        loop {
            self.publish(leadership).await;
            sleep(PUBLISH_EVERY).await;
        }
    }

    async fn publish(&mut self, leadership: &Leadership) {
        let batch = count(leadership, self.sequence);
        match self.store.publish(leadership.claim(), &batch).await {
            Ok(Published::Accepted) => self.sequence = batch.last(),
            Ok(Published::Fenced(found)) if found == Some(done(leadership, &batch)) => {
                self.sequence = batch.last();
            }
            Ok(Published::Fenced(_)) => leadership.refute(Refutation::Fenced),
            Ok(Published::OtherServer) => leadership.refute(Refutation::OtherServer),
            Err(_) => {}
        }
    }
}

async fn act(ground: &Ground, replica: usize, leadership: &Leadership) {
    loop {
        if leadership.may_act() {
            ground.acted(Event::now(replica, leadership));
        }
        sleep(STEP).await;
    }
}

/// What the record says where a batch whose answer was lost has taken effect.
fn done(leadership: &Leadership, batch: &Batch) -> Standing {
    Standing {
        term: leadership.term(),
        lease: leadership.claim().lease().to_string(),
        sequence: batch.last(),
    }
}

/// The publication that follows `after`.
fn count(leadership: &Leadership, after: u64) -> Batch {
    let publication = Publication::new(
        EndpointName::new("counter").unwrap(),
        Version::new(leadership.term(), after + 1),
        leadership.store_time(Instant::now()),
        "application/json".into(),
        Body::Json((after + 1).to_string().into()),
    );
    Batch {
        after,
        items: vec![BatchItem { publication, state: PollState::default() }],
        ..Batch::default()
    }
}
