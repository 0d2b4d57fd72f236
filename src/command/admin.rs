//! Talks to the admin server of a replica.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode};
use url::Url;

use super::Failure;
use crate::admin::{ClusterReport, StepDownRequested};
use crate::config::Secret;
use crate::tls;

/// How long a replica may take to answer; its store may be slow.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The admin address of a replica on this machine, by where it listens.
///
/// # Errors
/// When the address cannot be written as a URL, which no listening address is.
pub fn admin_url(mut listen: SocketAddr) -> Result<Url, Failure> {
    if listen.ip().is_unspecified() {
        let loopback: IpAddr = if listen.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        };
        listen.set_ip(loopback);
    }
    let url = format!("http://{listen}");
    url.parse().map_err(|error| Failure::Other(format!("{url}: {error}")))
}

/// A client for the servers of replicas, at a plain or an encrypted address.
pub(super) fn http(url: &Url) -> ClientBuilder {
    tls::install_provider();
    let client = Client::builder().no_proxy();
    // An image without root certificates is no hindrance where nothing is encrypted.
    if url.scheme() == "http" { client.tls_certs_only([]) } else { client }
}

/// Why a replica did not do what it was asked to.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) detail: String,
}

/// A replica's admin server.
pub(super) struct AdminClient<'a> {
    admin: &'a Url,
    http: Client,
}

impl<'a> AdminClient<'a> {
    pub(super) fn new(admin: &'a Url) -> Result<Self, Failure> {
        Self::build(admin, http(admin))
    }

    /// One that connects anew for each request: behind one address may be many replicas.
    pub(super) fn reconnecting(admin: &'a Url) -> Result<Self, Failure> {
        Self::build(admin, http(admin).pool_max_idle_per_host(0))
    }

    fn build(admin: &'a Url, http: ClientBuilder) -> Result<Self, Failure> {
        match http.timeout(TIMEOUT).build() {
            Ok(http) => Ok(Self { admin, http }),
            Err(error) => {
                Err(Failure::Other(format!("cannot send requests: {}", root_cause(&error))))
            }
        }
    }

    /// What the replica knows of the cluster, and the same as it was sent.
    pub(super) async fn cluster(&self) -> Result<(ClusterReport, String), Failure> {
        let response = self.send(self.http.get(self.at("/v1/cluster")?)).await?;
        if response.status() == StatusCode::NOT_FOUND && is_gateway(&self.http, self.admin).await {
            return Err(gateway_instead(self.admin));
        }
        let response = response.error_for_status().map_err(|error| self.unanswered(&error))?;
        let text = response.text().await.map_err(|error| self.unanswered(&root_cause(&error)))?;
        Ok((self.read(&text)?, text))
    }

    /// Asks whoever leads to hand over.
    pub(super) async fn step_down(
        &self,
        token: Option<&Secret>,
    ) -> Result<StepDownRequested, Failure> {
        let asked = self.ask_to_step_down(token).await?;
        asked.map_err(|refusal| Failure::Other(format!("{}: {}", self.admin, refusal.detail)))
    }

    /// The same, telling a refusal from a failure to ask.
    pub(super) async fn ask_to_step_down(
        &self,
        token: Option<&Secret>,
    ) -> Result<Result<StepDownRequested, Refusal>, Failure> {
        let mut request = self.http.post(self.at("/v1/step-down")?);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        let response = self.send(request).await?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unanswered(&root_cause(&error)))?;
        if !status.is_success() {
            let problem: serde_json::Value = self.read(&text)?;
            let detail = problem["detail"].as_str().unwrap_or(&text).to_owned();
            return Ok(Err(Refusal { status, detail }));
        }
        Ok(Ok(self.read(&text)?))
    }

    fn at(&self, path: &str) -> Result<Url, Failure> {
        self.admin.join(path).map_err(|error| self.unanswered(&error))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        request.send().await.map_err(|error| self.unanswered(&root_cause(&error)))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, text: &str) -> Result<T, Failure> {
        serde_json::from_str(text).map_err(|error| {
            let admin = self.admin;
            Failure::Other(format!("{admin} does not answer as a replica's admin server: {error}"))
        })
    }

    fn unanswered(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Other(format!(
            "no replica answers at {}: {error}; --url or --config names another admin address",
            self.admin
        ))
    }
}

/// Whether a gateway answers at an address.
pub(super) async fn is_gateway(http: &Client, url: &Url) -> bool {
    tells(http, url, "/v1/endpoints", "endpoints").await
}

/// Whether an admin server answers at an address.
pub(super) async fn is_admin(http: &Client, url: &Url) -> bool {
    tells(http, url, "/v1/cluster", "replicas").await
}

/// Whether there is a JSON object with this list at a path.
async fn tells(http: &Client, url: &Url, path: &str, list: &str) -> bool {
    let Ok(url) = url.join(path) else { return false };
    let request = http.get(url).timeout(TIMEOUT);
    let answer = async { request.send().await?.error_for_status()?.bytes().await };
    let Ok(body) = answer.await else { return false };
    serde_json::from_slice(&body).is_ok_and(|body: serde_json::Value| body[list].is_array())
}

/// What to say where a gateway answers in place of an admin server.
pub(super) fn gateway_instead(url: &Url) -> Failure {
    Failure::Other(format!(
        "{url} looks like a gateway's address: --url or --config names a replica's admin address"
    ))
}

/// The innermost error: the others only say that something failed.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
