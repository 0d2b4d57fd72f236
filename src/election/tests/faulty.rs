use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::model::{Announcement, EndpointName, Publication, Record};
use crate::store::{
    Batch, Channel, Claim, ClaimRequest, EmbeddedStore, Examination, FailureKind, LeaseValue,
    Observation, Presence, Published, Reading, ReleaseReason, Renewal, Resumed, Store, StoreError,
    Subscription, Survey,
};

/// More calls than this at one instant of the paused clock would never let it go on.
const AT_ONCE: usize = 100;

/// The methods that an elector and its duties call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Method {
    Observe,
    Acquire,
    Claim,
    Renew,
    Release,
    Reap,
    Publish,
    Subscribe,
    Resume,
    Read,
}

impl Method {
    /// Those that decide who leads.
    pub(crate) const ALL: [Self; 8] = [
        Self::Observe,
        Self::Acquire,
        Self::Claim,
        Self::Renew,
        Self::Release,
        Self::Reap,
        Self::Publish,
        Self::Subscribe,
    ];
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It has no effect; an error is the answer after this long.
    RequestLost(Duration),
    /// It takes effect at once; an error is the answer after this long.
    ReplyLost(Duration),
    /// It takes effect, and is answered, only after this long.
    SlowRequest(Duration),
    /// It takes effect at once, but is answered only after this long.
    SlowReply(Duration),
    /// An error is the answer at once; it takes effect after this long all the same.
    Late(Duration),
    /// An error is the answer after `answer`; it takes effect after `effect` all the same.
    TimedOut { answer: Duration, effect: Duration },
}

/// Sees what takes effect on the server, when it does.
pub(crate) trait Witness: Send + Sync {
    /// A batch took effect.
    fn accepted(&self, run_id: &str, batch: &Batch);

    /// The lease of `suspect` was taken away from a server that was as `observed`.
    fn reaped(&self, _suspect: &Record, _observed: &Observation) {}

    /// A renewal or a subscription showed that the one with this liveness channel lives.
    fn lives(&self, _alive: Uuid) {}
}

/// One call, as it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) sent: Instant,
    /// Whether the caller got an answer that is no error.
    pub(crate) answered: bool,
}

/// An open subscription.
struct Open {
    channel: Channel,
    /// Cancelled: it ends.
    cut: CancellationToken,
    /// Cancelled: it brings nothing any more, and does not end either.
    mute: CancellationToken,
    /// Whether the server ends a mute one.
    forgotten: Arc<AtomicBool>,
}

/// Decides what goes wrong with the n-th call, counted from 1, of a method.
type Plan = Box<dyn FnMut(Method, usize) -> Option<Fault> + Send>;

/// One replica's way to the store, on which things go wrong.
pub(crate) struct Faulty {
    server: EmbeddedStore,
    witness: Arc<dyn Witness>,
    plan: Mutex<Plan>,
    calls: Mutex<Vec<Call>>,
    counts: Mutex<HashMap<Method, usize>>,
    subscriptions: Mutex<Vec<Open>>,
}

impl Faulty {
    pub(crate) fn new(server: EmbeddedStore, witness: Arc<dyn Witness>) -> Self {
        Self {
            server,
            witness,
            plan: Mutex::new(Box::new(|_, _| None)),
            calls: Mutex::default(),
            counts: Mutex::default(),
            subscriptions: Mutex::default(),
        }
    }

    /// From now on, lets go wrong what `plan` says. Calls are counted from here.
    pub(crate) fn plan(&self, plan: impl FnMut(Method, usize) -> Option<Fault> + Send + 'static) {
        self.counts.lock().clear();
        *self.plan.lock() = Box::new(plan);
    }

    /// From now on, lets every call of `method` go wrong.
    pub(crate) fn every(&self, method: Method, fault: Fault) {
        self.plan(move |called, _| (called == method).then_some(fault));
    }

    /// Lets only the `number`-th call of `method` from now on go wrong.
    pub(crate) fn once(&self, method: Method, number: usize, fault: Fault) {
        self.plan(move |called, count| (called == method && count == number).then_some(fault));
    }

    /// From now on, nothing arrives and every subscription is cut.
    pub(crate) fn cut_off(&self) {
        self.plan(|_, _| Some(Fault::RequestLost(Duration::ZERO)));
        self.cut(|_| true);
    }

    /// From now on, nothing goes wrong.
    pub(crate) fn heal(&self) {
        self.plan(|_, _| None);
    }

    /// Ends the open subscriptions to some channels.
    pub(crate) fn cut(&self, channels: impl Fn(&Channel) -> bool) {
        self.subscriptions.lock().retain(|open| {
            let cut = channels(&open.channel);
            if cut {
                open.cut.cancel();
            }
            !cut
        });
    }

    /// Lets the open subscriptions to some channels bring nothing any more.
    pub(crate) fn mute(&self, channels: impl Fn(&Channel) -> bool) {
        let open = self.subscriptions.lock();
        open.iter().filter(|open| channels(&open.channel)).for_each(|open| open.mute.cancel());
    }

    /// The same of subscriptions that the server has given up, unnoticed by this side.
    pub(crate) fn forget(&self, channels: impl Fn(&Channel) -> bool) {
        let open = self.subscriptions.lock();
        for open in open.iter().filter(|open| channels(&open.channel)) {
            open.forgotten.store(true, Ordering::Relaxed);
            open.mute.cancel();
        }
    }

    /// How often `method` was called.
    pub(crate) fn count(&self, method: Method) -> usize {
        let calls = self.calls.lock();
        calls.iter().filter(|call| call.method == method).count()
    }

    /// How many calls there were since `since`.
    pub(crate) fn calls_since(&self, since: Instant) -> usize {
        let calls = self.calls.lock();
        calls.iter().filter(|call| call.sent >= since).count()
    }

    /// When the last answered call of `method` was sent.
    pub(crate) fn last_answered(&self, method: Method) -> Instant {
        let calls = self.calls.lock();
        let answered = |call: &&Call| call.method == method && call.answered;
        calls.iter().rfind(answered).unwrap().sent
    }

    /// Makes a call, with what the plan says about it. A call once sent takes effect even if the
    /// caller no longer waits for it.
    async fn call<T: Send + 'static>(
        &self,
        method: Method,
        effect: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (index, fault) = self.begin(method);
        let answer = match fault {
            None => Ok(effect.await),
            Some(Fault::RequestLost(after)) => {
                sleep(after).await;
                Err(no_answer(method))
            }
            Some(Fault::ReplyLost(after)) => {
                effect.await;
                sleep(after).await;
                Err(no_answer(method))
            }
            Some(Fault::SlowRequest(after)) => Ok(spawn_after(after, effect).await.unwrap()),
            Some(Fault::SlowReply(after)) => {
                let answer = effect.await;
                sleep(after).await;
                Ok(answer)
            }
            Some(Fault::Late(after)) => {
                drop(spawn_after(after, effect));
                Err(no_answer(method))
            }
            Some(Fault::TimedOut { answer, effect: after }) => {
                drop(spawn_after(after, effect));
                sleep(answer).await;
                Err(no_answer(method))
            }
        };
        self.calls.lock()[index].answered = answer.is_ok();
        answer
    }

    fn begin(&self, method: Method) -> (usize, Option<Fault>) {
        let number = {
            let mut counts = self.counts.lock();
            let count = counts.entry(method).or_default();
            *count += 1;
            *count
        };
        let mut calls = self.calls.lock();
        let sent = Instant::now();
        let at_once = calls.iter().rev().take_while(|call| call.sent == sent);
        assert!(at_once.count() < AT_ONCE, "it spins: {method:?}");
        calls.push(Call { method, sent, answered: false });
        (calls.len() - 1, (self.plan.lock())(method, number))
    }
}

fn spawn_after<T: Send + 'static>(
    after: Duration,
    effect: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(async move {
        sleep(after).await;
        effect.await
    })
}

fn no_answer(method: Method) -> StoreError {
    StoreError { kind: FailureKind::Timeout, message: format!("no answer to {method:?}") }
}

#[async_trait]
impl Store for Faulty {
    async fn observe(&self) -> Result<Observation, StoreError> {
        let server = self.server.clone();
        self.call(Method::Observe, async move { server.observe().await }).await?
    }

    async fn acquire(&self) -> Option<LeaseValue> {
        let server = self.server.clone();
        self.call(Method::Acquire, async move { server.acquire().await }).await.ok().flatten()
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claim>, StoreError> {
        let (server, request) = (self.server.clone(), request.clone());
        self.call(Method::Claim, async move { server.claim(&request).await }).await?
    }

    async fn renew(&self, claim: &Claim, alive: Uuid) -> Result<Renewal, StoreError> {
        let (server, witness) = (self.server.clone(), Arc::clone(&self.witness));
        let claim = claim.clone();
        self.call(Method::Renew, async move {
            let answer = server.renew(&claim, alive).await;
            if matches!(answer, Ok(Renewal::Held { .. })) {
                witness.lives(alive);
            }
            answer
        })
        .await?
    }

    async fn release(&self, claim: &Claim, reason: ReleaseReason) -> Result<bool, StoreError> {
        let (server, claim) = (self.server.clone(), claim.clone());
        self.call(Method::Release, async move { server.release(&claim, reason).await }).await?
    }

    async fn reap(&self, suspect: &Record) -> Result<bool, StoreError> {
        let (server, witness) = (self.server.clone(), Arc::clone(&self.witness));
        let suspect = suspect.clone();
        self.call(Method::Reap, async move {
            let observed = server.observe().await?;
            let reaped = server.reap(&suspect).await?;
            if reaped {
                witness.reaped(&suspect, &observed);
            }
            Ok(reaped)
        })
        .await?
    }

    async fn announce(&self, announcement: &Announcement) -> Result<(), StoreError> {
        self.server.announce(announcement).await
    }

    async fn publish(&self, claim: &Claim, batch: &Batch) -> Result<Published, StoreError> {
        let (server, witness) = (self.server.clone(), Arc::clone(&self.witness));
        let (claim, batch) = (claim.clone(), batch.clone());
        self.call(Method::Publish, async move {
            let answer = server.publish(&claim, &batch).await;
            if answer.as_ref().is_ok_and(|answer| *answer == Published::Accepted) {
                witness.accepted(&claim.run_id, &batch);
            }
            answer
        })
        .await?
    }

    async fn subscribe(&self, channel: Channel) -> Result<Subscription, StoreError> {
        let (server, wanted) = (self.server.clone(), channel.clone());
        let subscription =
            self.call(Method::Subscribe, async move { server.subscribe(wanted).await }).await??;
        if let Channel::Alive(alive) = channel {
            self.witness.lives(alive);
        }
        let (cut, mute) = (CancellationToken::new(), CancellationToken::new());
        let forgotten = Arc::new(AtomicBool::new(false));
        let open = Open { channel, cut: cut.clone(), mute, forgotten };
        let state = (subscription, open.mute.clone(), Arc::clone(&open.forgotten));
        self.subscriptions.lock().push(open);
        let messages = stream::unfold(state, async |(mut subscription, mute, forgotten)| {
            if let Some(message) = mute.run_until_cancelled(subscription.next()).await {
                return Some((message?, (subscription, mute, forgotten)));
            }
            let kept = (!forgotten.load(Ordering::Relaxed)).then_some(subscription);
            std::future::pending::<()>().await;
            drop(kept);
            None
        });
        let until_cut = messages.take_until(cut.cancelled_owned());
        Ok(Subscription::new(until_cut.boxed()))
    }

    async fn resume(&self, endpoints: &[EndpointName]) -> Result<Vec<Resumed>, StoreError> {
        let (server, endpoints) = (self.server.clone(), endpoints.to_vec());
        self.call(Method::Resume, async move { server.resume(&endpoints).await }).await?
    }

    async fn known(&self) -> Result<Vec<EndpointName>, StoreError> {
        self.server.known().await
    }

    async fn read(&self, endpoints: &[EndpointName]) -> Result<Reading, StoreError> {
        let (server, endpoints) = (self.server.clone(), endpoints.to_vec());
        self.call(Method::Read, async move { server.read(&endpoints).await }).await?
    }

    async fn announce_presence(&self, presence: &Presence) -> Result<Vec<Presence>, StoreError> {
        self.server.announce_presence(presence).await
    }

    async fn withdraw_presence(&self, replica: &str) -> Result<(), StoreError> {
        self.server.withdraw_presence(replica).await
    }

    async fn examine(
        &self,
        endpoint: &EndpointName,
        polls: bool,
    ) -> Result<Examination, StoreError> {
        self.server.examine(endpoint, polls).await
    }

    async fn history(
        &self,
        endpoint: &EndpointName,
        most: usize,
    ) -> Result<Vec<Publication>, StoreError> {
        self.server.history(endpoint, most).await
    }

    async fn survey(&self) -> Result<Survey, StoreError> {
        self.server.survey().await
    }
}
