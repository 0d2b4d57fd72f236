//! The elector's subscriptions, each with its own loop that brings it back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use crate::backoff::Backoff;
use crate::model::Announcement;
use crate::store::{Channel, Store, StoreError, Subscription};

/// The longest wait between two tries to subscribe.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A subscription that comes back by itself. Waiting for it can be given up at any time: a try that
/// is under way goes on the next time.
struct Lasting {
    store: Arc<dyn Store>,
    channel: Channel,
    open: Option<Subscription>,
    opening: Option<BoxFuture<'static, Result<Subscription, StoreError>>>,
    opened: Instant,
    backoff: Backoff,
    next_try: Instant,
}

impl Lasting {
    fn new(store: Arc<dyn Store>, channel: Channel) -> Self {
        let backoff = Backoff::up_to(LONGEST_WAIT);
        let now = Instant::now();
        Self { store, channel, open: None, opening: None, opened: now, backoff, next_try: now }
    }

    /// Waits until there is a subscription; `true` if there was none before.
    async fn open(&mut self) -> bool {
        if self.open.is_some() {
            return false;
        }
        loop {
            if self.opening.is_none() {
                sleep_until(self.next_try).await;
            }
            let (store, channel) = (&self.store, &self.channel);
            let opening = self.opening.get_or_insert_with(|| {
                let (store, channel) = (Arc::clone(store), channel.clone());
                Box::pin(async move { store.subscribe(channel).await })
            });
            let opened = opening.await;
            self.opening = None;
            match opened {
                Ok(subscription) => {
                    self.open = Some(subscription);
                    self.opened = Instant::now();
                    return true;
                }
                Err(error) => {
                    tracing::debug!(%error, channel = ?self.channel, "cannot subscribe");
                    self.next_try = Instant::now() + self.backoff.wait();
                }
            }
        }
    }

    /// The next message; `None` once, when the subscription has ended.
    async fn next(&mut self) -> Option<bytes::Bytes> {
        let message = match &mut self.open {
            Some(subscription) => subscription.next().await,
            None => None,
        };
        if message.is_none() {
            self.open = None;
            // One that ends as soon as it is open is a failure like any other.
            if self.opened.elapsed() > LONGEST_WAIT {
                self.backoff.reset();
            }
            self.next_try = Instant::now() + self.backoff.wait();
        }
        message
    }
}

/// What the leadership channel brings.
#[derive(Debug)]
pub(super) enum Heard {
    /// An announcement: a hint to read the record.
    Announcement(Announcement),
    /// The channel is (again) subscribed to; something may have been missed.
    Subscribed,
}

/// The leadership channel.
pub(super) struct Announcements(Lasting);

impl Announcements {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self(Lasting::new(store, Channel::Leadership))
    }

    /// Waits for something to be heard.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if self.0.open().await {
                return Heard::Subscribed;
            }
            let Some(message) = self.0.next().await else {
                continue;
            };
            match serde_json::from_slice(&message) {
                Ok(announcement) => return Heard::Announcement(announcement),
                Err(error) => tracing::debug!(%error, "announcement not understood"),
            }
        }
    }
}
