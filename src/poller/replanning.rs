//! What changes while a leader polls: plans that take the place of others, and endpoints that nobody
//! plans to poll any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::outbox::Outbox;
use super::plan::Plan;
use crate::backoff::Backoff;
use crate::model::EndpointName;
use crate::store::{Resumed, Store};

/// The longest wait between two tries to read from the store.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// How long a leader waits before it tells that endpoints are gone which it has never polled: they may
/// be new in a configuration that has reached another replica first.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the store holds, by endpoint.
pub(super) type Left = HashMap<EndpointName, Resumed>;

/// A plan in place of the one before, and what the store holds of those of its endpoints that were not
/// in that one.
pub(super) struct Replan<F> {
    pub(super) plan: Arc<Plan<F>>,
    pub(super) left: Left,
}

/// Reads what the store holds of endpoints, until it answers.
pub(super) async fn resume(store: &dyn Store, endpoints: &[EndpointName]) -> Left {
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    loop {
        match store.resume(endpoints).await {
            Ok(left) => {
                return left.into_iter().map(|left| (left.endpoint.clone(), left)).collect();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read what the last leader left: trying on");
                sleep(backoff.wait()).await;
            }
        }
    }
}

/// Passes on the plans that take the place of `plan`. Ends with the last of them.
pub(super) async fn follow<F>(
    store: &dyn Store,
    mut plan: Arc<Plan<F>>,
    mut plans: watch::Receiver<Arc<Plan<F>>>,
    replans: mpsc::Sender<Replan<F>>,
) {
    while plans.changed().await.is_ok() {
        let next = Arc::clone(&plans.borrow_and_update());
        let known: HashSet<EndpointName> = plan.names().into_iter().collect();
        let new = next.names().into_iter().filter(|name| !known.contains(name));
        let left = resume(store, &new.collect::<Vec<_>>()).await;
        plan = Arc::clone(&next);
        if replans.send(Replan { plan: next, left }).await.is_err() {
            return;
        }
    }
}

/// Tells once of endpoints that were published by leaders before, and that nobody polls any more.
pub(super) async fn take_leave_of_strangers<F>(
    store: &dyn Store,
    plans: &watch::Receiver<Arc<Plan<F>>>,
    outbox: &Outbox,
) {
    sleep(PATIENCE).await;
    let mut backoff = Backoff::up_to(LONGEST_WAIT);
    let known = loop {
        match store.known().await {
            Ok(known) => break known,
            Err(_) => sleep(backoff.wait()).await,
        }
    };
    let planned: HashSet<EndpointName> = plans.borrow().names().into_iter().collect();
    let strangers: Vec<_> = known.into_iter().filter(|name| !planned.contains(name)).collect();
    if !strangers.is_empty() {
        let endpoints = strangers.len();
        tracing::info!(endpoints, "telling that endpoints are gone that are not configured");
        outbox.take_leave(strangers);
    }
}
