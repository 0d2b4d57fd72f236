//! `pollux tail`: publications as they come.

mod change;
mod lines;
mod told;

use std::collections::BTreeSet;
use std::future;
use std::io::{self, Write as _};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use tokio::time::sleep;
use url::Url;

use super::admin::{http, is_admin, root_cause};
use super::events::{Event, Events, Said};
use super::{Failure, runtime};
use crate::backoff::Backoff;
use lines::Lines;
use told::Told;

/// How long a gateway may be silent: it sends a comment every 15 s.
const SILENCE: Duration = Duration::from_secs(40);

/// How long a connection, or the list of endpoints, may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often the list of endpoints is read again where all are followed.
const LIST_EVERY: Duration = Duration::from_secs(10);

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
    /// These are the endpoints now.
    Listed(BTreeSet<String>),
}

struct Tail {
    http: Client,
    gateway: Url,
    /// Whether all endpoints are followed, whichever they are.
    all: bool,
    /// The endpoints of the stream.
    names: BTreeSet<String>,
    last: Option<String>,
    told: Told,
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
        let known = match known(&http, gateway).await {
            Ok(known) => known,
            Err(_) if is_admin(&http, gateway).await => {
                return Err(Failure::Other(format!(
                    "{gateway} looks like an admin server's address: --url names a gateway's"
                )));
            }
            Err(why) => {
                return Err(Failure::Other(format!(
                    "no gateway answers at {gateway}: {why}; --url names another one"
                )));
            }
        };
        let unknown: Vec<_> =
            wanted.iter().filter(|name| !known.contains(*name)).map(String::as_str).collect();
        if !unknown.is_empty() {
            return Err(unknown_endpoints(&unknown, &known));
        }
        let all = wanted.is_empty();
        let mut tail = Self {
            http,
            gateway: gateway.clone(),
            all,
            names: BTreeSet::new(),
            last: None,
            told: Told::default(),
            json,
            lines: Lines::new(),
        };
        tail.take(if all { known } else { wanted.into_iter().collect() });
        Ok(tail)
    }

    /// Follows these endpoints from the next stream on.
    fn take(&mut self, names: BTreeSet<String>) {
        // A stream that goes on after what was printed has nothing older of an endpoint added to it.
        if !names.is_subset(&self.names) {
            self.last = None;
        }
        self.lines.align(&names);
        self.names = names;
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
                End::Listed(names) => {
                    self.take(names);
                    continue;
                }
            };
            if !std::mem::replace(&mut told, true) {
                eprintln!("{}: {why}; connecting again", self.gateway);
            }
            // What the gateway said as it left spreads its clients over some time.
            sleep(backoff.wait().max(hint.unwrap_or_default())).await;
            // The gateway may have started anew, with other endpoints. If it is still away, the
            // connection will tell why.
            if self.all
                && let Ok(names) = known(&self.http, &self.gateway).await
            {
                self.take(names);
            }
        }
    }

    async fn connect(&self) -> Result<Response, End> {
        let mut stream = at(&self.gateway, "/v1/stream").map_err(End::Broken)?;
        stream.query_pairs_mut().extend_pairs(self.names.iter().map(|name| ("endpoint", name)));
        let mut request = self.http.get(stream);
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
        // An endpoint that is unknown has gone since the list was read, which will be read again.
        let passes = status == StatusCode::TOO_MANY_REQUESTS
            || (self.all && status == StatusCode::NOT_FOUND);
        let wrong = status.is_client_error() && !passes;
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
        let mut others = pin!(self.others());
        loop {
            let piece = tokio::select! {
                piece = response.chunk() => piece,
                names = &mut others => return End::Listed(names),
            };
            match piece {
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

    /// Waits until the gateway has other endpoints than the stream, if all are followed.
    fn others(&self) -> impl Future<Output = BTreeSet<String>> + use<> {
        let (http, gateway, names) = (self.http.clone(), self.gateway.clone(), self.names.clone());
        let all = self.all;
        async move {
            if !all {
                return future::pending().await;
            }
            loop {
                sleep(LIST_EVERY).await;
                match known(&http, &gateway).await {
                    Ok(known) if known != names => return known,
                    // The stream tells whether the gateway is there.
                    Ok(_) | Err(_) => {}
                }
            }
        }
    }

    fn print(&mut self, event: Event) -> Result<(), End> {
        if self.told.repeats(&event) {
            self.last = event.id.or_else(|| self.last.take());
            return Ok(());
        }
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

fn at(gateway: &Url, path: &str) -> Result<Url, String> {
    gateway.join(path).map_err(|error| error.to_string())
}

/// The names of all endpoints; or why nobody tells them.
async fn known(http: &Client, gateway: &Url) -> Result<BTreeSet<String>, String> {
    let request = http.get(at(gateway, "/v1/endpoints")?).timeout(TIMEOUT);
    let answer = async { request.send().await?.error_for_status()?.bytes().await };
    let body = answer.await.map_err(|error| root_cause(&error))?;
    let list: List = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
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
