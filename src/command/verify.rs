//! `pollux step-down --verify`: a handover, and the proof that nothing is missed by it.
//!
//! Behind one address may be many replicas, of which some serve no data and each knows the newest
//! a moment before or after the others. So every question is asked on a new connection, whoever
//! answers it, and what is not there yet is asked for again until the time is up.

mod evidence;

use std::time::Duration;

use tokio::time::{Instant, sleep};
use url::Url;

use super::admin::AdminClient;
use super::{Failure, print, runtime};
use crate::admin::{ClusterReport, StepDownRequested};
use crate::config::{Secret, format_duration};
use evidence::{Evidence, Taken};

/// How often the replicas are asked.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How long to wait for a standby, or for somebody who takes the request: replicas tell every ten
/// seconds that they are there.
const PATIENCE: Duration = Duration::from_secs(12);

/// Makes the leader hand over, and prints what was seen of it.
///
/// # Errors
/// When within `timeout` no other replica leads in a newer term, or the data of an endpoint do not
/// go on under it.
pub fn hand_over(admin: &Url, token: Option<&Secret>, timeout: Duration) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let handover = Handover {
            client: AdminClient::reconnecting(admin)?,
            until: Instant::now() + timeout,
            timeout,
        };
        let before = handover.before().await?;
        let asked = handover.ask(token, &before).await?;
        let evidence = Evidence::new(&before, asked, timeout);
        handover.observe(evidence).await
    })
}

struct Handover<'a> {
    client: AdminClient<'a>,
    until: Instant,
    timeout: Duration,
}

impl Handover<'_> {
    /// What the cluster is like at first, as told by a replica that serves the data.
    async fn before(&self) -> Result<ClusterReport, Failure> {
        loop {
            let failure = match self.report().await {
                Ok(report) if !report.store.ok => Failure::Other(format!(
                    "{}'s store does not answer: {}",
                    report.replica,
                    report.store.error.unwrap_or_default()
                )),
                Ok(ClusterReport { replica, leader: None, .. }) => {
                    Failure::Other(format!("nobody leads, says {replica}"))
                }
                Ok(ClusterReport { replica, endpoints: None, .. }) => Failure::Other(format!(
                    "{replica} serves no data: name a replica that does, of role all or gateway"
                )),
                Ok(report) => return Ok(report),
                Err(failure) => failure,
            };
            self.again(failure).await?;
        }
    }

    /// Asks the leader to hand over, until somebody takes the request.
    async fn ask(
        &self,
        token: Option<&Secret>,
        before: &ClusterReport,
    ) -> Result<StepDownRequested, Failure> {
        let until = self.until.min(Instant::now() + PATIENCE);
        loop {
            match self.client.ask_to_step_down(token).await {
                Ok(Ok(asked)) => return Ok(asked),
                // Those who only serve do not take it, and standbys may not have been heard of yet.
                Ok(Err(refusal))
                    if matches!(refusal.status.as_u16(), 409 | 503) && Instant::now() < until =>
                {
                    sleep(ASK_EVERY).await;
                }
                Ok(Err(refusal)) => return Err(Failure::Other(refusal.detail)),
                // It may have been taken: to ask again might end the next term too.
                Err(failure) => {
                    let leader = before.leader.as_ref();
                    return leader
                        .map(|leader| StepDownRequested {
                            replica: leader.replica.clone(),
                            term: leader.term,
                        })
                        .ok_or(failure);
                }
            }
        }
    }

    /// Looks until all is proven, or the time is up.
    async fn observe(&self, mut evidence: Evidence) -> Result<(), Failure> {
        loop {
            let failure = match self.report().await {
                Ok(report) => match evidence.take(&report) {
                    Taken::Proven => return print(&evidence.describe()),
                    Taken::Refuted(why) => {
                        print(&evidence.describe())?;
                        return Err(Failure::Other(why));
                    }
                    Taken::Lacking(why) => Failure::Other(why),
                },
                Err(failure) => failure,
            };
            if let Err(failure) = self.again(failure).await {
                print(&evidence.describe())?;
                return Err(failure);
            }
        }
    }

    /// Waits before the next question; or gives up, with what was missing last.
    async fn again(&self, failure: Failure) -> Result<(), Failure> {
        if Instant::now() + ASK_EVERY < self.until {
            sleep(ASK_EVERY).await;
            return Ok(());
        }
        let why = match failure {
            Failure::Other(why) => why,
            other => other.to_string(),
        };
        Err(Failure::Other(format!("not within {}: {why}", format_duration(self.timeout))))
    }

    /// Asks whoever answers, for no longer than there is time.
    async fn report(&self) -> Result<ClusterReport, Failure> {
        let answer = tokio::time::timeout_at(self.until, self.client.cluster()).await;
        match answer {
            Ok(answer) => answer.map(|(report, _)| report),
            Err(_) => Err(Failure::Other("no replica answers in time".to_owned())),
        }
    }
}
