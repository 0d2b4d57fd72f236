//! The leader's polls: told by it, and asked of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde::{Deserialize, Serialize};
use url::Url;

use super::AdminState;
use super::cluster::{LeaderReport, PollsSource};
use crate::http::Problem;
use crate::poller::PolledEndpoint;
use crate::tls;

/// How long the leader may take: whoever looks waits that long.
const TIMEOUT: Duration = Duration::from_millis(500);
/// The largest answer that is taken, in bytes: several times what 10,000 endpoints need.
const LARGEST: usize = 8 << 20;

/// The answer of `GET /v1/polls`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PollsReport {
    /// The leader.
    replica: String,
    /// What it knows of its endpoints.
    endpoints: Vec<PolledEndpoint>,
}

/// What is read of a problem.
#[derive(Default, Deserialize)]
struct Refusal {
    detail: String,
}

/// What the leader told, and who that was.
#[derive(Default)]
pub(super) struct Told {
    pub(super) source: PollsSource,
    pub(super) endpoints: Vec<PolledEndpoint>,
}

/// `GET /v1/polls`: the latest polls, on the leader.
pub(super) async fn show(State(state): State<AdminState>) -> Result<Json<PollsReport>, Problem> {
    let Some(endpoints) = state.own_polls() else {
        let detail = not_leading(&state.config.replica);
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    Ok(Json(PollsReport { replica: state.config.replica.clone(), endpoints }))
}

/// What a replica that does not lead says of itself.
fn not_leading(replica: &str) -> String {
    format!("{replica} does not lead: the leader alone knows its polls")
}

/// Why there is no answer.
#[derive(Debug)]
enum Failure {
    /// One that does not lead answers, and says this.
    NotLeading(String),
    /// None that can be used comes.
    Unanswered(String),
}

impl From<String> for Failure {
    fn from(cause: String) -> Self {
        Self::Unanswered(cause)
    }
}

/// Asks leaders for their polls.
#[derive(Clone, Debug)]
pub(crate) struct LeaderPolls {
    /// `None` where the system lets no client be made.
    http: Option<Client>,
}

impl LeaderPolls {
    pub(crate) fn new() -> Self {
        tls::install_provider();
        // Admin servers speak plain HTTP: a system without root certificates is no hindrance.
        let client = Client::builder().no_proxy().redirect(Policy::none()).timeout(TIMEOUT);
        Self { http: client.tls_certs_only([]).build().ok() }
    }

    /// What the leader tells; or why it tells nothing.
    pub(super) async fn ask(&self, leader: &LeaderReport) -> Told {
        match self.fetch(&leader.address).await {
            Ok(report) if report.replica == leader.replica => Told {
                source: PollsSource { replica: Some(report.replica), error: None },
                endpoints: report.endpoints,
            },
            Ok(report) => Told::none(format!(
                "{} is the admin address of {}, says {}: its address must lead others to it",
                leader.address, leader.replica, report.replica
            )),
            // Who led a moment ago was asked.
            Err(Failure::NotLeading(said)) if said == not_leading(&leader.replica) => {
                Told::none(format!("{} leads no more", leader.replica))
            }
            Err(Failure::NotLeading(said)) => Told::none(format!(
                "{} is the admin address of {}, but who answers there (409 Conflict) says: {said}; \
                 the address of {} must lead others to it",
                leader.address, leader.replica, leader.replica
            )),
            Err(Failure::Unanswered(cause)) => Told::none(format!(
                "the admin address of {}, {}, does not answer with its polls from here: {cause}; \
                 admin.listen and address on {} decide who reaches it",
                leader.replica, leader.address, leader.replica
            )),
        }
    }

    async fn fetch(&self, address: &str) -> Result<PollsReport, Failure> {
        let client = self.http.as_ref().ok_or_else(|| "no HTTP client can be set up".to_owned())?;
        let url = Url::parse(address).and_then(|address| address.join("/v1/polls"));
        let url = url.map_err(|error| error.to_string())?;
        let response = client.get(url).send().await.map_err(|error| cause(&error))?;
        let status = response.status();
        if !status.is_success() && status != StatusCode::CONFLICT {
            return Err(format!("it answers {status}").into());
        }
        let body = bounded(response).await?;
        if status == StatusCode::CONFLICT {
            let problem: Refusal = serde_json::from_slice(&body).unwrap_or_default();
            return Err(Failure::NotLeading(problem.detail));
        }
        Ok(serde_json::from_slice(&body).map_err(|error| error.to_string())?)
    }
}

/// The body, unless it is too large.
async fn bounded(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if body.len() + chunk.len() > LARGEST {
            return Err(format!("its answer has more than {LARGEST} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost error: the others only say that something failed.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} ms", TIMEOUT.as_millis());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::serve;

    /// Why nothing is told when `castor` is asked, and `answering` is who gets to hear it.
    async fn error(answering: &'static str) -> String {
        let refuse = async || Problem::new(StatusCode::CONFLICT, not_leading(answering));
        let routes = axum::Router::new().route("/v1/polls", axum::routing::get(refuse));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let end = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, routes, Duration::ZERO, end.clone()));
        let leader = LeaderReport {
            replica: "castor".to_owned(),
            address,
            term: 7,
            since: 0,
            lease_remaining: 1.0,
        };
        let told = LeaderPolls::new().ask(&leader).await;
        end.cancel();
        serving.await.unwrap();
        told.source.error.unwrap()
    }

    #[tokio::test]
    async fn of_a_leader_that_has_just_stopped_to_lead_that_is_told() {
        assert_eq!(error("castor").await, "castor leads no more");
    }

    #[tokio::test]
    async fn an_address_that_leads_to_another_replica_is_not_taken_for_that() {
        let error = error("alhena").await;
        assert!(error.contains("alhena does not lead") && error.contains("409"), "{error}");
    }
}
