use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::breaker::Breaker;
use super::fetch::Validators;
use super::trace::PollTrace;
use crate::model::{Body, EndpointName};
use crate::store::PollState;

/// The most publications in one batch: with more, one round trip delays the next for too long.
const MOST_AT_ONCE: usize = 256;
/// From this size on, in bytes, a batch takes no further publication.
const LARGE_BATCH: usize = 4 << 20;

/// What was polled and is not published yet.
///
/// It holds the newest of each endpoint, so it stays bounded however long the store is away.
#[derive(Default)]
pub(super) struct Outbox {
    pending: Mutex<Pending>,
    filled: Notify,
}

#[derive(Default)]
struct Pending {
    /// Endpoints with a change, in the order of their first unpublished one.
    order: VecDeque<usize>,
    changes: HashMap<usize, Change>,
    /// When an endpoint was last found unchanged, in ms by the store's clock.
    unchanged: HashMap<usize, u64>,
    /// What else of an endpoint's state differs, though its body does not.
    amendments: HashMap<usize, Amendment>,
    /// What differs in what is published at all.
    revisions: Vec<Revision>,
    /// Endpoints that are no longer polled.
    gone: VecDeque<EndpointName>,
    closed: bool,
}

/// How what is published differs from now on.
#[derive(Debug)]
pub(super) enum Revision {
    /// An endpoint is added, after all others.
    Added(EndpointName, PollState),
    /// Another request takes the place of an endpoint's: what the store knows of the old one's answers
    /// is of no use to a successor.
    Redirected(usize, String),
    /// The store keeps so many publications.
    History(u64),
}

/// What one batch publishes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) revisions: Vec<Revision>,
    /// Changes, the oldest first.
    pub(super) changes: Vec<(usize, Change)>,
    pub(super) gone: Vec<EndpointName>,
}

/// What is new in an endpoint's state beside a publication.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Amendment {
    pub(super) validators: Option<Validators>,
    pub(super) breaker: Option<Breaker>,
}

/// A body that differs from the last one.
#[derive(Debug)]
pub(super) struct Change {
    /// In ms by the store's clock.
    pub(super) fetched_at: u64,
    pub(super) content_type: String,
    pub(super) body: Body,
    pub(super) hash: String,
    pub(super) validators: Validators,
    /// Open or closed by later polls that failed.
    pub(super) breaker: Breaker,
    pub(super) trace: PollTrace,
}

impl Outbox {
    pub(super) fn changed(&self, endpoint: usize, change: Change) {
        let mut pending = self.pending.lock();
        pending.unchanged.remove(&endpoint);
        pending.amendments.remove(&endpoint);
        match pending.changes.insert(endpoint, change) {
            Some(older) => older.trace.superseded(),
            None => pending.order.push_back(endpoint),
        }
        self.filled.notify_one();
    }

    /// Notes a good check without a change. It waits for the next beat; but where the body it
    /// confirms is not published yet, it goes with that. On its own it would reach the store first,
    /// and a successor would ask with the validators of a body that nobody has.
    pub(super) fn unchanged(&self, endpoint: usize, at: u64, validators: Option<Validators>) {
        let mut pending = self.pending.lock();
        if let Some(change) = pending.changes.get_mut(&endpoint) {
            change.fetched_at = at;
            change.validators = validators.unwrap_or_else(|| change.validators.clone());
            return;
        }
        pending.unchanged.insert(endpoint, at);
        if let Some(validators) = validators {
            pending.amendments.entry(endpoint).or_default().validators = Some(validators);
        }
    }

    /// Notes how an endpoint's failures stand now. That waits for the next beat, or goes with a
    /// change that is not published yet.
    pub(super) fn breaker(&self, endpoint: usize, breaker: Breaker) {
        let mut pending = self.pending.lock();
        match pending.changes.get_mut(&endpoint) {
            Some(change) => change.breaker = breaker,
            None => pending.amendments.entry(endpoint).or_default().breaker = Some(breaker),
        }
    }

    /// Notes what differs from now on. What an endpoint's old request brought is not published any more.
    pub(super) fn revise(&self, revision: Revision) {
        let mut pending = self.pending.lock();
        if let Revision::Redirected(endpoint, _) = revision {
            pending.discard(endpoint);
            let (validators, breaker) = (Some(Validators::default()), Some(Breaker::default()));
            pending.amendments.insert(endpoint, Amendment { validators, breaker });
        }
        if let Revision::Added(name, _) = &revision {
            // One that is back before it was told as gone has never been.
            pending.gone.retain(|gone| gone != name);
        }
        pending.revisions.push(revision);
    }

    /// Notes that an endpoint is not polled any more; what is not published of it never will be.
    pub(super) fn retire(&self, endpoint: usize, name: EndpointName) {
        self.pending.lock().discard(endpoint);
        self.take_leave([name]);
    }

    /// Notes endpoints that are gone, and which this leader never polled.
    pub(super) fn take_leave(&self, names: impl IntoIterator<Item = EndpointName>) {
        self.pending.lock().gone.extend(names);
        self.filled.notify_one();
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.pending.lock().closed = true;
        self.filled.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pending.lock().closed
    }

    pub(super) fn has_changes(&self) -> bool {
        self.pending.lock().has_changes()
    }

    /// Waits until there is a change to publish, or the outbox is closed.
    pub(super) async fn filled(&self) {
        loop {
            let filled = self.filled.notified();
            {
                let pending = self.pending.lock();
                if pending.closed || pending.has_changes() {
                    return;
                }
            }
            filled.await;
        }
    }

    /// Takes what one batch can hold of it all.
    pub(super) fn take(&self) -> Taken {
        let mut pending = self.pending.lock();
        let mut taken =
            Taken { revisions: std::mem::take(&mut pending.revisions), ..Taken::default() };
        let mut size = 0;
        while taken.changes.len() < MOST_AT_ONCE && size < LARGE_BATCH {
            let Some(endpoint) = pending.order.pop_front() else {
                break;
            };
            if let Some(change) = pending.changes.remove(&endpoint) {
                size += change.body.bytes().len();
                taken.changes.push((endpoint, change));
            }
        }
        let room = MOST_AT_ONCE.min(pending.gone.len());
        taken.gone = pending.gone.drain(..room).collect();
        taken
    }

    /// Takes what a beat carries: the checks without a change since the last one, and what else of
    /// the state is new.
    pub(super) fn take_checks(&self) -> (HashMap<usize, u64>, HashMap<usize, Amendment>) {
        let mut pending = self.pending.lock();
        (std::mem::take(&mut pending.unchanged), std::mem::take(&mut pending.amendments))
    }
}

impl Pending {
    fn has_changes(&self) -> bool {
        !self.changes.is_empty() || !self.gone.is_empty()
    }

    fn discard(&mut self, endpoint: usize) {
        self.order.retain(|pending| *pending != endpoint);
        self.changes.remove(&endpoint);
        self.unchanged.remove(&endpoint);
        self.amendments.remove(&endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterName;
    use crate::poller::Schedule;
    use crate::poller::trace::tests::Ended;

    fn change(fetched_at: u64, size: usize) -> Change {
        Change {
            fetched_at,
            content_type: "application/json".into(),
            body: Body::Json(vec![b' '; size].into()),
            hash: String::new(),
            validators: Validators::default(),
            breaker: Breaker::default(),
            trace: PollTrace::default(),
        }
    }

    /// The breaker after one more failure.
    fn failing() -> Breaker {
        let (cluster, name) = (ClusterName::new("tests"), EndpointName::new("prices"));
        let schedule =
            Schedule::new(&cluster.unwrap(), &name.unwrap(), std::time::Duration::from_secs(1));
        let mut breaker = Breaker::default();
        breaker.failed(None, schedule, 0);
        breaker
    }

    fn taken(outbox: &Outbox) -> Vec<(usize, u64)> {
        outbox.take().changes.iter().map(|(at, change)| (*at, change.fetched_at)).collect()
    }

    #[test]
    fn the_newest_change_of_an_endpoint_takes_the_place_of_an_older_one() {
        let outbox = Outbox::default();
        outbox.changed(7, change(1, 1));
        outbox.changed(3, change(2, 1));
        outbox.changed(7, change(3, 1));
        assert_eq!(taken(&outbox), [(7, 3), (3, 2)]);
        assert_eq!(taken(&outbox), []);
    }

    #[test]
    fn of_an_endpoint_that_went_nothing_is_published_but_that() {
        let outbox = Outbox::default();
        let name = EndpointName::new("a").unwrap();
        outbox.changed(1, change(1, 1));
        outbox.changed(2, change(2, 1));
        outbox.unchanged(1, 3, None);
        outbox.retire(1, name.clone());
        let taken = outbox.take();
        assert_eq!((taken.changes.len(), taken.changes[0].0, taken.gone), (1, 2, vec![name]));
        assert!(outbox.take_checks().0.is_empty());
        assert!(!outbox.has_changes());
    }

    #[test]
    fn an_endpoint_that_is_back_in_time_is_not_told_as_gone() {
        let outbox = Outbox::default();
        let name = EndpointName::new("a").unwrap();
        outbox.retire(1, name.clone());
        outbox.revise(Revision::Added(name, PollState::default()));
        assert!(outbox.take().gone.is_empty());
    }

    #[test]
    fn what_another_request_had_brought_is_not_published_nor_left_to_a_successor() {
        let outbox = Outbox::default();
        outbox.changed(1, change(1, 1));
        outbox.revise(Revision::Redirected(1, "new".to_owned()));
        assert!(outbox.take().changes.is_empty());
        let (_, amendments) = outbox.take_checks();
        let (validators, breaker) = (Some(Validators::default()), Some(Breaker::default()));
        assert_eq!(amendments[&1], Amendment { validators, breaker });
    }

    #[test]
    fn a_change_that_is_replaced_says_so_in_its_trace() {
        let outbox = Outbox::default();
        let (trace, ended) = Ended::changed();
        outbox.changed(7, Change { trace, ..change(1, 1) });
        assert!(ended.values("").is_empty());
        outbox.changed(7, change(2, 1));
        let outcome = ("poll prices".to_owned(), "superseded".to_owned());
        assert_eq!(ended.values("pollux.publication.outcome"), [outcome]);
    }

    #[test]
    fn a_batch_ends_once_it_is_large() {
        let outbox = Outbox::default();
        for endpoint in 0..3 {
            outbox.changed(endpoint, change(0, LARGE_BATCH / 2));
        }
        assert_eq!(taken(&outbox).len(), 2);
        assert_eq!(taken(&outbox).len(), 1);
    }

    #[test]
    fn a_check_of_an_unpublished_change_goes_with_it() {
        let outbox = Outbox::default();
        let validators = Validators { etag: Some("new".into()), last_modified: None };
        outbox.changed(1, change(10, 1));
        outbox.unchanged(1, 20, Some(validators.clone()));
        let (unchanged, amendments) = outbox.take_checks();
        assert!(unchanged.is_empty() && amendments.is_empty());
        let changes = outbox.take().changes;
        assert_eq!((changes[0].1.fetched_at, &changes[0].1.validators), (20, &validators));
    }

    #[test]
    fn a_change_supersedes_the_checks_before_it() {
        let outbox = Outbox::default();
        outbox.unchanged(1, 10, Some(Validators::default()));
        outbox.unchanged(2, 10, None);
        outbox.changed(1, change(20, 1));
        let (unchanged, amendments) = outbox.take_checks();
        assert_eq!(unchanged, HashMap::from([(2, 10)]));
        assert!(amendments.is_empty());
    }

    #[test]
    fn a_failure_waits_for_the_beat_beside_a_check() {
        let outbox = Outbox::default();
        let validators = Some(Validators { etag: Some("new".into()), last_modified: None });
        outbox.unchanged(1, 10, validators.clone());
        outbox.breaker(1, failing());
        outbox.breaker(2, failing());
        outbox.breaker(2, Breaker::default());
        let (unchanged, mut amendments) = outbox.take_checks();
        assert_eq!(unchanged, HashMap::from([(1, 10)]));
        let breaker = Some(failing());
        assert_eq!(amendments.remove(&1), Some(Amendment { validators, breaker }));
        assert_eq!(amendments[&2].breaker, Some(Breaker::default()));
    }

    #[test]
    fn a_failure_after_an_unpublished_change_goes_with_it() {
        let outbox = Outbox::default();
        outbox.breaker(1, failing());
        outbox.changed(1, change(10, 1));
        assert!(outbox.take_checks().1.is_empty(), "a good poll undoes the failures before it");
        outbox.breaker(1, failing());
        assert!(outbox.take_checks().1.is_empty());
        assert_eq!(outbox.take().changes[0].1.breaker, failing());
    }
}
