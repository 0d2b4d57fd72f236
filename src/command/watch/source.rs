use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode};
use tokio::time::sleep;
use url::Url;

use crate::admin::ClusterReport;
use crate::backoff::Backoff;
use crate::command::Failure;
use crate::command::admin::{http, is_gateway, root_cause};
use crate::command::events::{Events, Said};

/// How often a replica is asked that has no stream.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How long a replica may be silent: its stream has a report every second.
const SILENCE: Duration = Duration::from_secs(5);

/// The longest wait before another try.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What the source has.
pub(super) enum News {
    /// A report, and the same as it was sent.
    Report(Box<ClusterReport>, Bytes),
    /// Nothing, for this reason; it goes on trying.
    Trouble(String),
}

/// Reports of a replica, one after the other: from its stream, or asked for once a second where it
/// is too old to have one.
pub(super) struct Source {
    http: Client,
    admin: Url,
    from: From,
    backoff: Backoff,
}

enum From {
    /// Not connected.
    Nowhere,
    Stream(Box<Response>, Events),
    Asking,
}

impl Source {
    pub(super) fn new(admin: &Url) -> Result<Self, Failure> {
        let client = http(admin).connect_timeout(SILENCE).read_timeout(SILENCE).build();
        let http = client.map_err(|error| Failure::Other(root_cause(&error)))?;
        let backoff = Backoff::up_to(LONGEST_WAIT);
        Ok(Self { http, admin: admin.clone(), from: From::Nowhere, backoff })
    }

    /// Waits for what comes next. To give the wait up counts as a failure, and a try that is under way
    /// is lost with it.
    pub(super) async fn next(&mut self) -> News {
        match self.read().await {
            Ok(data) => match serde_json::from_slice(&data) {
                Ok(report) => News::Report(Box::new(report), data),
                Err(error) => {
                    self.from = From::Nowhere;
                    News::Trouble(format!("no replica's admin server answers: {error}"))
                }
            },
            Err(why) => {
                self.from = From::Nowhere;
                News::Trouble(why)
            }
        }
    }

    /// Whether it is a gateway that answers there.
    pub(super) async fn is_of_gateway(&self) -> bool {
        is_gateway(&self.http, &self.admin).await
    }

    /// The next report as it was sent.
    async fn read(&mut self) -> Result<Bytes, String> {
        loop {
            match &mut self.from {
                From::Nowhere => {
                    sleep(self.backoff.wait()).await;
                    self.from = self.connect().await?;
                }
                From::Asking => {
                    sleep(ASK_EVERY).await;
                    return self.ask().await;
                }
                From::Stream(response, events) => {
                    if let Some(said) = events.next() {
                        self.backoff.reset();
                        match said {
                            Said::Event(event) if event.kind == "cluster" => return Ok(event.data),
                            Said::Event(_) | Said::Retry(_) | Said::Forget => continue,
                        }
                    }
                    let piece = response.chunk().await.map_err(|error| root_cause(&error))?;
                    let piece = piece.ok_or("the replica ended its stream")?;
                    events.push(&piece).map_err(|_| "a report is too large")?;
                }
            }
        }
    }

    async fn connect(&self) -> Result<From, String> {
        let response = self.get("/v1/cluster/stream").await?;
        match response.status() {
            status if status.is_success() => {
                Ok(From::Stream(Box::new(response), Events::default()))
            }
            StatusCode::NOT_FOUND => Ok(From::Asking),
            status => Err(format!("it answers {status}")),
        }
    }

    async fn ask(&mut self) -> Result<Bytes, String> {
        let response = self.get("/v1/cluster").await?;
        let response = response.error_for_status().map_err(|error| error.to_string())?;
        let body = response.bytes().await.map_err(|error| root_cause(&error))?;
        self.backoff.reset();
        Ok(body)
    }

    async fn get(&self, path: &str) -> Result<Response, String> {
        let url = self.admin.join(path).map_err(|error| error.to_string())?;
        self.http.get(url).send().await.map_err(|error| root_cause(&error))
    }
}
