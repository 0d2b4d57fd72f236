//! `pollux step-down`: asks the leader to hand over, and sees whether it did.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use url::Url;

use super::admin::AdminClient;
use super::{Failure, runtime};
use crate::admin::{ClusterReport, StepDownRequested};
use crate::config::Secret;

/// How long a successor may take: far longer than it does, with the slowest of stores.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the replica is asked who leads.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Asks the replica at `admin`, whether it leads or not, and says who leads then.
///
/// # Errors
/// When nothing answers there, the request is refused, or the same leader goes on.
pub fn hand_over(admin: &Url, token: Option<&Secret>) -> Result<String, Failure> {
    runtime()?.block_on(async {
        let client = AdminClient::new(admin)?;
        let asked = client.step_down(token).await?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let (report, _) = client.cluster().await?;
            if let Some(text) = successor(&report, &asked) {
                return Ok(text);
            }
            sleep(ASK_EVERY).await;
        }
        let StepDownRequested { replica, term } = asked;
        Err(Failure::Other(format!(
            "{replica} has not handed over term {term} within {} s: it may not have heard; \
             try again, and see pollux status",
            PATIENCE.as_secs()
        )))
    })
}

/// Describes the successor, once there is one.
fn successor(report: &ClusterReport, asked: &StepDownRequested) -> Option<String> {
    let leader = report.leader.as_ref().filter(|leader| leader.term > asked.term)?;
    let (from, to, term) = (&asked.replica, &leader.replica, leader.term);
    let claimed = |entry: &&crate::store::TimelineEntry| {
        entry.event == "claimed" && entry.term == leader.term
    };
    let gap = report.timeline.iter().find(claimed).map(|entry| entry.gap);
    let gap = gap.map(|gap| format!(" after {gap} ms")).unwrap_or_default();
    Some(if from == to {
        format!("{from} leads again{gap}, in term {term}: nobody else claimed\n")
    } else {
        format!("{from} handed over to {to}{gap}, in term {term}\n")
    })
}
