//! `pollux tail`: publications as they come.

mod change;
mod lines;

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;
use url::Url;

use super::admin::{http, root_cause};
use super::events::{Event, Events, Said};
use super::{Failure, runtime};
use crate::backoff::Backoff;
use lines::Lines;

/// How long a gateway may be silent: it sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// How long a connection, or the list of endpoints, may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait before another try to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Follows publications of a gateway until Ctrl-C, or until nobody reads them any more.
///
/// # Errors
/// When no gateway answers at first, or an endpoint is unknown to it. Later it is waited for.
pub fn follow(gateway: &Url, endpoints: Vec<String>, json: bool) -> Result<(), Failure> {
    let runtime = runtime()?;
    let gateway = gateway.clone();
    let result = runtime.block_on(async {
        let following = tokio::spawn(async move {
            let mut tail = Tail::new(&gateway, endpoints, json).await?;
            tail.run().await
        });
        tokio::select! {
            result = following => result.unwrap_or_else(|error| {
                Err(Failure::Other(format!("following stopped: {error}")))
            }),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    // Whoever reads the output may be slow to take the last of it: nobody waits for that.
    runtime.shutdown_background();
    result
}

/// Why a stream is not followed any further.
enum End {
    /// It may go on after another connection.
    Broken(String),
    /// Nobody reads what is printed.
    Unread,
    Failed(Failure),
}

struct Tail {
    http: Client,
    gateway: Url,
    stream: Url,
    last: Option<String>,
    json: bool,
    lines: Lines,
}

/// The answer of `GET /v1/endpoints`, as far as it matters here.
#[derive(Deserialize)]
struct List {
    endpoints: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
}

/// A problem document.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Tail {
    /// Learns which endpoints there are.
    async fn new(gateway: &Url, wanted: Vec<String>, json: bool) -> Result<Self, Failure> {
        let client = http(gateway).connect_timeout(TIMEOUT).read_timeout(SILENCE).build();
        let http = client.map_err(|error| Failure::Other(root_cause(&error)))?;
        let known = known(&http, gateway).await?;
        let unknown: Vec<_> =
            wanted.iter().filter(|name| !known.contains(*name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(unknown_endpoints(&unknown, &known));
        }
        let wanted: BTreeSet<String> = wanted.into_iter().collect();
        let names = if wanted.is_empty() { &known } else { &wanted };
        let mut stream = at(gateway, "/v1/stream")?;
        stream.query_pairs_mut().extend_pairs(names.iter().map(|name| ("endpoint", name)));
        let lines = Lines::new(names, names.len() == known.len());
        Ok(Self { http, gateway: gateway.clone(), stream, last: None, json, lines })
    }

    /// Follows one stream after the other.
    async fn run(&mut self) -> Result<(), Failure> {
        let mut backoff = Backoff::up_to(LONGEST_WAIT);
        let mut told = false;
        loop {
            let mut hint = None;
            let broken = match self.connect().await {
                Ok(response) => {
                    if std::mem::take(&mut told) {
                        eprintln!("connected again to {}", self.gateway);
                    }
                    self.read(response, &mut backoff, &mut hint).await
                }
                Err(end) => end,
            };
            let why = match broken {
                End::Broken(why) => why,
                End::Unread => return Ok(()),
                End::Failed(failure) => return Err(failure),
            };
            if !std::mem::replace(&mut told, true) {
                eprintln!("{}: {why}; connecting again", self.gateway);
            }
            // What the gateway said as it left spreads its clients over some time.
            sleep(backoff.wait().max(hint.unwrap_or_default())).await;
        }
    }

    async fn connect(&self) -> Result<Response, End> {
        let mut request = self.http.get(self.stream.clone());
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.map_err(|error| End::Broken(root_cause(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let detail = response.text().await.ok().and_then(|text| {
            serde_json::from_str(&text).ok().map(|problem: Problem| problem.detail)
        });
        let why = format!("{status}: {}", detail.unwrap_or_default());
        let wrong = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        Err(if wrong { End::Failed(Failure::Other(why)) } else { End::Broken(why) })
    }

    /// Prints what a stream says, to its end.
    async fn read(
        &mut self,
        mut response: Response,
        backoff: &mut Backoff,
        hint: &mut Option<Duration>,
    ) -> End {
        let mut events = Events::default();
        loop {
            match response.chunk().await {
                Ok(Some(piece)) if events.push(&piece).is_err() => {
                    return End::Failed(Failure::Other(format!(
                        "{} sends an event larger than any of Pollux",
                        self.gateway
                    )));
                }
                Ok(Some(_)) => {}
                Ok(None) => return End::Broken("the stream ended".to_owned()),
                Err(error) => return End::Broken(root_cause(&error)),
            }
            while let Some(said) = events.next() {
                match said {
                    Said::Retry(ms) => *hint = Some(Duration::from_millis(ms).min(LONGEST_WAIT)),
                    Said::Forget => self.last = None,
                    Said::Event(event) => {
                        backoff.reset();
                        if let Err(end) = self.print(event) {
                            return end;
                        }
                    }
                }
            }
        }
    }

    fn print(&mut self, event: Event) -> Result<(), End> {
        let published = matches!(&*event.kind, "snapshot" | "gone");
        let line: Bytes = match (self.json, published) {
            (true, true) => event.data.clone(),
            // Whoever reads publications does not expect anything else between them.
            (true, false) => {
                if let Some(line) = self.lines.of(&event) {
                    eprintln!("{line}");
                }
                return Ok(());
            }
            (false, _) => match self.lines.of(&event) {
                Some(line) => line.into(),
                None => return Ok(()),
            },
        };
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write_all(&line)
            .and_then(|()| stdout.write_all(b"\n"))
            .and_then(|()| stdout.flush());
        match written {
            Ok(()) => {
                if event.id.is_some() {
                    self.last = event.id;
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(End::Unread),
            Err(error) => Err(End::Failed(Failure::Other(format!("cannot print: {error}")))),
        }
    }
}

fn at(gateway: &Url, path: &str) -> Result<Url, Failure> {
    gateway.join(path).map_err(|error| Failure::Other(format!("{gateway}: {error}")))
}

/// The names of all endpoints.
async fn known(http: &Client, gateway: &Url) -> Result<BTreeSet<String>, Failure> {
    let failed = |why: String| {
        Failure::Other(format!("no gateway answers at {gateway}: {why}; --url names another one"))
    };
    let request = http.get(at(gateway, "/v1/endpoints")?).timeout(TIMEOUT);
    let answer = async { request.send().await?.error_for_status()?.bytes().await };
    let body = answer.await.map_err(|error| failed(root_cause(&error)))?;
    let list: List = serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
    Ok(list.endpoints.into_iter().map(|item| item.name).collect())
}

fn unknown_endpoints(unknown: &[&str], known: &BTreeSet<String>) -> Failure {
    const SHOWN: usize = 20;
    let mut names: Vec<&str> = known.iter().take(SHOWN).map(String::as_str).collect();
    if known.len() > SHOWN {
        names.push("…");
    }
    let (unknown, names) = (unknown.join(", "), names.join(", "));
    Failure::Other(format!("there is no endpoint {unknown}; known here: {names}"))
}
