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

/// What the leader told, and who that was.
pub(super) struct Told {
    pub(super) source: PollsSource,
    pub(super) endpoints: Vec<PolledEndpoint>,
}

/// `GET /v1/polls`: the latest polls, on the leader.
pub(super) async fn show(State(state): State<AdminState>) -> Result<Json<PollsReport>, Problem> {
    let Some(endpoints) = state.own_polls() else {
        let detail = "this replica does not lead: the leader alone knows its polls";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    Ok(Json(PollsReport { replica: state.config.replica.clone(), endpoints }))
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
            Err(cause) => Told::none(format!(
                "the admin address of {}, {}, does not answer with its polls from here: {cause}; \
                 admin.listen and address on {} decide who reaches it",
                leader.replica, leader.address, leader.replica
            )),
        }
    }

    async fn fetch(&self, address: &str) -> Result<PollsReport, String> {
        let client = self.http.as_ref().ok_or("no HTTP client can be set up")?;
        let url = Url::parse(address).and_then(|address| address.join("/v1/polls"));
        let url = url.map_err(|error| error.to_string())?;
        let response = client.get(url).send().await.map_err(|error| cause(&error))?;
        if !response.status().is_success() {
            return Err(format!("it answers {}", response.status()));
        }
        serde_json::from_slice(&bounded(response).await?).map_err(|error| error.to_string())
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
