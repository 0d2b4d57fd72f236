//! Puts together what there is to know about the cluster.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::AdminState;
use super::cluster::{
    ClusterReport, EndpointReport, LeaderReport, PollsSource, ServedReport, StoreReport,
};
use super::leader_polls::Told;
use crate::election::View;
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
        Ok(survey) => {
            state.viewers.keep(&survey);
            (StoreReport { kind, ok: true, error: None }, survey)
        }
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
        history: state.config.history,
        polls: source,
        endpoints: state.hub.as_deref().map(|hub| endpoints(hub, polled)),
    }
}

/// What the store told last, and the elector saw since then, while the store does not answer.
fn last_seen(state: &AdminState) -> Survey {
    let view = state.election.as_ref().map(|election| election.borrow().clone());
    seen_last(state.viewers.seen(), view.filter(|view| view.record.is_some()))
}

/// `told`: how long ago the store told what. A replica that does not poll has no `view`.
fn seen_last(told: Option<(Duration, Survey)>, view: Option<View>) -> Survey {
    let nothing =
        Observation { held_for: None, record: None, run_id: String::new(), pulse: Pulse::Unknown };
    let nothing =
        Survey { now: 0, observation: nothing, replicas: Vec::new(), timeline: Vec::new() };
    let (ago, mut survey) = told.unwrap_or((Duration::ZERO, nothing));
    let observation = &mut survey.observation;
    match view {
        Some(view) => {
            let left = |until: Instant| until.checked_duration_since(Instant::now());
            observation.held_for = view.held_until.and_then(left);
            observation.record = view.record;
        }
        None => {
            let left = observation.held_for.and_then(|held_for| held_for.checked_sub(ago));
            observation.held_for = left;
        }
    }
    survey
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
        Polls::DoNotAsk => Told::default(),
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
    use crate::model::Record;

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

    /// The store told it so long ago: `castor` led in term 7, its lease held for 3 s.
    fn told(ago: Duration) -> Option<(Duration, Survey)> {
        let record = Record { term: 7, replica: "castor".to_owned(), ..Record::default() };
        let observation = Observation {
            held_for: Some(Duration::from_secs(3)),
            record: Some(record),
            run_id: String::new(),
            pulse: Pulse::Unknown,
        };
        let replicas = vec![Presence::default()];
        Some((ago, Survey { now: 9, observation, replicas, timeline: Vec::new() }))
    }

    #[test]
    fn a_lease_seen_before_the_store_went_away_runs_out() {
        let soon = seen_last(told(Duration::from_secs(1)), None);
        assert_eq!(soon.observation.held_for, Some(Duration::from_secs(2)));
        let late = seen_last(told(Duration::from_secs(9)), None);
        assert_eq!(late.observation.held_for, None);
        assert_eq!(late.observation.record.map(|record| record.term), Some(7));
        assert_eq!(late.replicas.len(), 1);
    }

    #[test]
    fn what_the_elector_saw_is_newer_than_what_the_store_told_those_who_look() {
        let record = Some(Record { term: 8, ..Record::default() });
        let view = View { record, ..View::default() };
        let seen = seen_last(told(Duration::ZERO), Some(view));
        assert_eq!(seen.observation.record.map(|record| record.term), Some(8));
        assert_eq!(seen.observation.held_for, None);
        assert_eq!(seen.replicas.len(), 1);
        assert!(seen_last(None, None).replicas.is_empty());
    }
}
