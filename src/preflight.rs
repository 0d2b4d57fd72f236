//! Warns of what the store lacks for a replica that runs.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::model::EndpointName;
use crate::store::{Examination, FailureKind, Shortcoming, Store};

/// What is lacking where even the examination is not allowed.
const PERMISSION: &str = "permission";
/// How often the store is examined: after a failover it may be another server, set up differently.
const EVERY: Duration = Duration::from_secs(600);
/// How soon again where it did not answer.
const RETRY: Duration = Duration::from_secs(5);

/// Warns of what the store lacks, at the start and whenever that changes, as it may with a failover.
pub(crate) async fn keep(
    store: Arc<dyn Store>,
    endpoint: EndpointName,
    polls: bool,
    shutdown: CancellationToken,
) {
    let mut known = Vec::new();
    loop {
        let wait = match store.examine(&endpoint, polls).await {
            Ok(Examination { shortcomings, .. }) => {
                for shortcoming in shortcomings.iter().filter(|one| one.is_news_to(&known)) {
                    tracing::warn!(
                        kind = shortcoming.kind(),
                        "the store falls short: {shortcoming}"
                    );
                }
                for kind in Shortcoming::KINDS {
                    let lacking = shortcomings.iter().any(|one| one.kind() == kind);
                    gauge!("pollux_redis_shortcoming", "kind" => kind).set(u8::from(lacking));
                }
                known = shortcomings;
                EVERY
            }
            Err(error) if error.kind == FailureKind::NoPerm => {
                if known.is_empty() {
                    tracing::warn!(kind = PERMISSION, "the store falls short: {error}");
                }
                gauge!("pollux_redis_shortcoming", "kind" => PERMISSION).set(1);
                known = vec![Shortcoming::NoPermission { commands: Vec::new() }];
                EVERY
            }
            Err(error) => {
                tracing::debug!(%error, "cannot examine the store");
                RETRY
            }
        };
        if shutdown.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
    }
}
