//! Quiet at the end of a run: nothing changes any more, and everybody has had the time to be level.

use std::time::Duration;

use super::waiting::holds;
use super::{Cluster, facts};

/// Within which time a leader beats at least once.
const BEATS: Duration = Duration::from_millis(1200);
/// What is allowed beside a lease duration.
const WITHIN: Duration = Duration::from_secs(15);

impl Cluster {
    /// Lets contents stay as they are, waits until one leads and all readers have what the primary has,
    /// and records the final facts. Yields when it was quiet, in µs since the run began; `None`: within a
    /// lease duration and 15 s it was not.
    pub(crate) async fn settle(&self) -> Option<u64> {
        self.backend.hold();
        // Whoever leads renews meanwhile, and beats.
        self.pass((self.timing.retry() * 2).max(BEATS)).await;
        let within = self.timing.lease() + WITHIN;
        let quiet = holds(within, "one leads and readers are level", || async {
            let before = self.versions().await.ok()?;
            (self.leading().await == 1).then_some(())?;
            let newest = self.versions().await.ok()?;
            let is_still = newest == before && newest.len() == self.endpoints().len();
            (is_still && self.readers.behind(&newest).is_empty()).then_some(())
        });
        let quiet_at = quiet.await.ok().map(|()| self.history.now());
        facts::record_final(self).await;
        quiet_at
    }

    /// How many pollers say that they lead.
    async fn leading(&self) -> usize {
        let asked = self.pollers.iter().map(|replica| replica.metric("pollux_is_leader", ""));
        let answers = futures_util::future::join_all(asked).await;
        answers.into_iter().filter(|answer| matches!(answer, Ok(1.0))).count()
    }
}
