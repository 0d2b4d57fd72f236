//! Puts together what there is to know about the cluster.

use std::collections::HashMap;

use super::AdminState;
use super::cluster::{
    ClusterReport, EndpointReport, LeaderReport, PollsSource, ServedReport, StoreReport,
};
use super::leader_polls::Told;
use crate::hub::{EndpointView, Hub};
use crate::model::EndpointName;
use crate::poller::PolledEndpoint;
use crate::store::{Observation, Presence, Pulse, Survey};

/// Whether the leader is asked for its polls, if it is another replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polls {
    /// It is: the report waits for the answer.
    Ask,
    /// The report is to be there at once.
    DoNotAsk,
}

/// Asks the store and, for its polls, the leader.
pub(super) async fn make(state: &AdminState, polls: Polls) -> ClusterReport {
    let kind = if state.config.redis.is_some() { "redis" } else { "embedded" }.to_owned();
    let (store, survey) = match state.store.survey().await {
        Ok(survey) => (StoreReport { kind, ok: true, error: None }, survey),
        Err(error) => {
            let error = Some(error.to_string());
            (StoreReport { kind, ok: false, error }, last_seen(state))
        }
    };
    let now = store.ok.then_some(survey.now);
    let Survey { observation, replicas, timeline, .. } = survey;
    let term = observation.record.as_ref().map(|record| record.term);
    let leader = leader(observation);
    let Told { source, endpoints: polled } = told(state, leader.as_ref(), polls).await;
    ClusterReport {
        cluster: state.config.cluster.to_string(),
        replica: state.config.replica.clone(),
        now,
        store,
        leader,
        term,
        served: served(&replicas),
        replicas,
        timeline,
        polls: source,
        endpoints: state.hub.as_deref().map(|hub| endpoints(hub, polled)),
    }
}

/// What the elector saw last, while the store does not answer.
fn last_seen(state: &AdminState) -> Survey {
    let view =
        state.election.as_ref().map(|election| election.borrow().clone()).unwrap_or_default();
    let now = tokio::time::Instant::now();
    let held_for = view.held_until.and_then(|until| until.checked_duration_since(now));
    let observation =
        Observation { held_for, record: view.record, run_id: String::new(), pulse: Pulse::Unknown };
    Survey { now: 0, observation, replicas: Vec::new(), timeline: Vec::new() }
}

fn leader(observation: Observation) -> Option<LeaderReport> {
    let held_for = observation.held_for?;
    let record = observation.record.filter(|record| !record.lease.is_empty())?;
    Some(LeaderReport {
        replica: record.replica,
        address: record.address,
        term: record.term,
        since: record.since,
        lease_remaining: held_for.as_secs_f64(),
    })
}

/// The leader's polls: this replica's own, or another's if it is to be asked.
async fn told(state: &AdminState, leader: Option<&LeaderReport>, polls: Polls) -> Told {
    let Some(leader) = leader else { return Told::none("nobody leads") };
    if let Some(endpoints) = state.own_polls() {
        return Told::by(state.config.replica.clone(), endpoints);
    }
    match polls {
        Polls::Ask => state.leader_polls.ask(leader).await,
        Polls::DoNotAsk => Told::none("the leader has not been asked yet"),
    }
}

fn served(replicas: &[Presence]) -> ServedReport {
    let sum = |count: fn(&Presence) -> u64| replicas.iter().map(count).fold(0, u64::saturating_add);
    let (reads, deliveries) = (sum(|replica| replica.reads), sum(|replica| replica.deliveries));
    let polls = sum(|replica| replica.polls);
    let saved = i128::from(reads) + i128::from(deliveries) - i128::from(polls);
    let started = replicas.iter().map(|replica| replica.started_at).filter(|at| *at > 0);
    ServedReport {
        reads,
        deliveries,
        polls,
        saved: i64::try_from(saved).unwrap_or(i64::MAX),
        since: started.min(),
    }
}

fn endpoints(hub: &Hub, polled: Vec<PolledEndpoint>) -> Vec<EndpointReport> {
    let named = |polled: PolledEndpoint| (polled.name.clone(), polled);
    let mut polled: HashMap<EndpointName, PolledEndpoint> = polled.into_iter().map(named).collect();
    hub.endpoints().iter().map(|view| endpoint(view, polled.remove(&view.name))).collect()
}

fn endpoint(view: &EndpointView, polled: Option<PolledEndpoint>) -> EndpointReport {
    let endpoint = EndpointReport::from(view);
    let Some(polled) = polled else { return endpoint };
    EndpointReport {
        next_due: Some(polled.next_due),
        failures: polled.failures,
        retry_at: polled.retry_at,
        polls: polled.polls,
        ..endpoint
    }
}

impl Told {
    fn by(replica: String, endpoints: Vec<PolledEndpoint>) -> Self {
        let source = PollsSource { replica: Some(replica), error: None };
        Self { source, endpoints }
    }

    pub(super) fn none(error: impl Into<String>) -> Self {
        let source = PollsSource { replica: None, error: Some(error.into()) };
        Self { source, endpoints: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_what_was_served_without_the_polls_that_it_took() {
        let replica = |reads, deliveries, polls, started_at| Presence {
            reads,
            deliveries,
            polls,
            started_at,
            ..Presence::default()
        };
        let served_by = served(&[replica(10, 5, 40, 7_000), replica(0, 7, 0, 5_000)]);
        assert_eq!((served_by.saved, served_by.since), (-18, Some(5_000)));
        let unknown = served(&[replica(u64::MAX, u64::MAX, 0, 0)]);
        assert_eq!((unknown.saved, unknown.since), (i64::MAX, None));
    }
}
