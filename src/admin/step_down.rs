use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use url::Url;

use super::guard::{host, is_local};
use super::{AdminState, unanswered};
use crate::config::Secret;
use crate::http::{Peer, Problem};
use crate::model::Announcement;
use crate::store::{Presence, Survey};
use crate::telemetry::{LeadershipChange, LeadershipEvent};

/// The answer of `POST /v1/step-down`: whom it was asked of. Whether it did, the cluster tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepDownRequested {
    /// The leader.
    pub replica: String,
    /// Its term, which is to end. A leader of another one is not meant.
    pub term: u64,
}

/// `POST /v1/step-down`: asks the leader, which may be another replica, to hand over.
pub(super) async fn ask(
    State(state): State<AdminState>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<(StatusCode, Json<StepDownRequested>), Problem> {
    authorize(state.config.admin.token.as_ref(), peer, &headers)?;
    let survey = state.store.survey().await.map_err(unanswered)?;
    let leader = leader(&survey)?;
    if state.election.is_none() {
        let address = survey.observation.record.map(|record| record.address).unwrap_or_default();
        let detail =
            format!("this replica only serves clients: ask one that polls, as at {address}");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    state
        .store
        .announce(&Announcement::StepDown { term: leader.term, abdicates: false })
        .await
        .map_err(unanswered)?;
    LeadershipEvent {
        leader: &leader.replica,
        term: leader.term,
        cause: "request",
        ..LeadershipEvent::new(LeadershipChange::Asked, &state.config.replica)
    }
    .info(&format!("asked to step down by {}", peer.0));
    Ok((StatusCode::ACCEPTED, Json(leader)))
}

/// With a token, whoever has it; without, whoever is on this machine and no page of another origin.
fn authorize(token: Option<&Secret>, peer: Peer, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = token else {
        if peer.0.ip().to_canonical().is_loopback() && !is_foreign(headers) {
            return Ok(());
        }
        let detail = "without admin.token this is taken from the replica's own machine alone";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if token.is(given) {
        return Ok(());
    }
    let detail = "expected admin.token in the header Authorization: Bearer …";
    Err(Problem::new(StatusCode::UNAUTHORIZED, detail).challenge("Bearer"))
}

/// Whether a page sent the request that this replica did not serve: one of another origin, or one
/// whose name was made to lead here.
fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let origin = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    let same = |(origin, host): (Url, Url)| is_local(&host) && origin.origin() == host.origin();
    !origin.zip(host(headers).flatten()).is_some_and(same)
}

/// Who leads, if somebody else could.
fn leader(survey: &Survey) -> Result<StepDownRequested, Problem> {
    let conflict = |detail: &str| Problem::new(StatusCode::CONFLICT, detail);
    let record = survey.observation.record.as_ref().filter(|record| !record.lease.is_empty());
    let record = record.filter(|_| survey.observation.held_for.is_some());
    let record = record.ok_or_else(|| conflict("nobody leads"))?;
    let stands_by = |presence: &Presence| presence.replica != record.replica && presence.polls();
    if !survey.replicas.iter().any(stands_by) {
        return Err(conflict("nobody else could lead: no other poller was heard of for 30 s"));
    }
    Ok(StepDownRequested { replica: record.replica.clone(), term: record.term })
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use super::*;

    fn allowed(token: Option<&str>, ip: impl Into<IpAddr>, headers: &[(&str, &str)]) -> bool {
        let token = token.map(|token| Secret::new(token.to_owned()));
        let peer = Peer(SocketAddr::new(ip.into(), 4711));
        let header = |(name, value): &(&str, &str)| {
            (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap())
        };
        authorize(token.as_ref(), peer, &headers.iter().map(header).collect()).is_ok()
    }

    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);

    #[test]
    fn without_a_token_only_this_machine_may_ask() {
        assert!(allowed(None, Ipv4Addr::LOCALHOST, &[]));
        assert!(allowed(None, Ipv4Addr::LOCALHOST.to_ipv6_mapped(), &[]));
        assert!(!allowed(None, ELSEWHERE, &[]));
        assert!(!allowed(None, ELSEWHERE, &[("authorization", "Bearer ")]));
    }

    #[test]
    fn without_a_token_no_page_of_another_origin_may_ask() {
        let host = ("host", "localhost:9090");
        let own = [host, ("origin", "http://localhost:9090")];
        assert!(allowed(None, Ipv4Addr::LOCALHOST, &own));
        for origin in ["http://evil.example", "http://localhost:8080", "null"] {
            assert!(!allowed(None, Ipv4Addr::LOCALHOST, &[host, ("origin", origin)]), "{origin}");
        }
        let rebound = [("host", "evil.example:9090"), ("origin", "http://evil.example:9090")];
        assert!(!allowed(None, Ipv4Addr::LOCALHOST, &rebound));
    }

    #[test]
    fn with_a_token_only_who_has_it_may_ask() {
        let bearer = |value| [("authorization", value)];
        assert!(allowed(Some("sesame-open"), ELSEWHERE, &bearer("Bearer sesame-open")));
        for wrong in ["Bearer sesame-ope", "Bearer sesame-open!", "Basic sesame-open", "Bearer "] {
            assert!(!allowed(Some("sesame-open"), Ipv4Addr::LOCALHOST, &bearer(wrong)), "{wrong}");
        }
        assert!(!allowed(Some("sesame-open"), Ipv4Addr::LOCALHOST, &[]));
    }
}
