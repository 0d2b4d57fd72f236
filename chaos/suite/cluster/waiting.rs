//! Waiting for something to become so.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::run::{Outcome, Unknown};

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(10);

/// Waits until `condition` yields something.
///
/// # Errors
/// When it does not in time: says `what` it was.
pub(crate) async fn holds<T, F>(
    within: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Outcome<T>
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            return Err(Unknown(format!("not within {within:?}: {what}")));
        }
        sleep(GLANCE).await;
    }
}
