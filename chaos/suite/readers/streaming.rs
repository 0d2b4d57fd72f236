//! Readers of `GET /v1/stream`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pollux::model::Version;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::http::{self, Answer};
use super::reader::{Gateway, Reader};
use super::sse::{Message, Parser};
use crate::history::{Function, Kind};
use crate::publication::Publication;

/// A gateway says something every 15 s; one that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(20);
/// When a client that was told nothing connects again.
const RETRY: Duration = Duration::from_secs(1);

/// How a reader behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// Stays as long as the stream lasts, and is soon back, at the next gateway.
    Steady,
    /// The same, but back when the gateway that is gone has said.
    Obedient,
    /// Leaves every second or so, and says by turns that it has what it has and that it has nothing.
    Restless,
    /// Reads a little and pauses.
    Slow,
    /// Stops reading while it is told to, and is obedient otherwise.
    Stalling,
}

/// How long a restless reader stays, in ms.
const STAY_MS: std::ops::Range<u64> = 500..1500;
/// After how long readers of their own mind are back, in ms.
const BACK_MS: std::ops::RangeInclusive<u64> = 50..=150;
/// What the system holds for a slow reader; how much that reads at once and from one pause to the next, in
/// bytes; and for how long it pauses, in ms. On average it keeps pace with the endpoints, but only just.
const SLOW_BUFFER: u32 = 4 * 1024;
const SLOW_PIECE: usize = 2 * 1024;
const SLOW_PORTION: usize = 16 * 1024;
const SLOW_PAUSE_MS: std::ops::RangeInclusive<u64> = 0..=1500;
const PIECE: usize = 16 * 1024;

/// A reader of streams.
pub(super) struct Streaming {
    reader: Arc<Reader>,
    habit: Habit,
    rng: Rng,
    path: String,
    parser: Parser,
    /// The gateway that is asked next.
    gateway: usize,
    turn: usize,
}

/// The data of `stale` and `fresh`.
#[derive(Deserialize)]
struct Freshness {
    endpoint: String,
    age: Option<f64>,
}

#[derive(Deserialize)]
struct Gone {
    gone: String,
}

impl Streaming {
    /// A reader that begins at the gateway with this number.
    pub(super) fn new(reader: Arc<Reader>, habit: Habit, gateway: usize, rng: Rng) -> Self {
        let query: Vec<_> =
            reader.endpoints.iter().map(|name| format!("endpoint={name}")).collect();
        let path = format!("/v1/stream?{}", query.join("&"));
        Self { reader, habit, rng, path, parser: Parser::default(), gateway, turn: 0 }
    }

    /// Reads stream after stream, the first one after `delay`.
    pub(super) async fn run(mut self, delay: Duration) {
        sleep(delay).await;
        loop {
            let gateway = self.reader.gateways[self.gateway].clone();
            self.stream(&gateway).await;
            self.reader.set_connected(None);
            self.gateway = match self.habit {
                Habit::Restless => self.rng.usize(..self.reader.gateways.len()),
                _ => (self.gateway + 1) % self.reader.gateways.len(),
            };
            sleep(match self.habit {
                Habit::Obedient | Habit::Stalling => self.parser.retry().unwrap_or(RETRY),
                _ => Duration::from_millis(self.rng.u64(BACK_MS)),
            })
            .await;
        }
    }

    /// Reads one stream to its end.
    async fn stream(&mut self, gateway: &Gateway) {
        let reader = Arc::clone(&self.reader);
        let connect = |kind| reader.event(kind, Function::Connect, gateway);
        self.turn += 1;
        if self.habit == Habit::Restless && self.turn.is_multiple_of(2) {
            self.parser.forget();
        }
        self.parser.begin();
        let invoke = connect(Kind::Invoke).note(reader.endpoints.join(","));
        let has = self.parser.last_id().parse::<Version>().ok();
        reader.history.record(match has {
            Some(version) => invoke.version(version),
            None => {
                reader.forget();
                invoke
            }
        });
        match self.open(gateway).await {
            Ok(answer) => {
                reader.history.record(connect(Kind::Ok));
                reader.set_connected(Some(self.gateway));
                let end = match self.read(answer, gateway).await {
                    Ok(why) => why.to_owned(),
                    Err(error) => error.to_string(),
                };
                reader.history.record(connect(Kind::Info).error(end));
            }
            Err(error) => {
                reader.history.record(connect(Kind::Fail).error(error));
            }
        }
    }

    async fn open(&self, gateway: &Gateway) -> io::Result<Answer> {
        let small = matches!(self.habit, Habit::Slow | Habit::Stalling);
        let buffer = small.then_some(SLOW_BUFFER);
        let stream = http::connect(gateway.at, buffer).await?;
        let mut headers = "accept: text/event-stream\r\n".to_owned();
        if !self.parser.last_id().is_empty() {
            headers.push_str(&format!("last-event-id: {}\r\n", self.parser.last_id()));
        }
        let answer = http::get(stream, &self.path, &headers).await?;
        match answer.status {
            200 => Ok(answer),
            status => Err(io::Error::other(format!("status {status}"))),
        }
    }

    /// Reads a stream until it ends or is left; tells why.
    async fn read(&mut self, answer: Answer, gateway: &Gateway) -> io::Result<&'static str> {
        if self.habit == Habit::Restless {
            let until = Instant::now() + Duration::from_millis(self.rng.u64(STAY_MS));
            return match timeout_at(until, self.read_on(answer, gateway)).await {
                Ok(end) => end,
                Err(_) => Ok("the reader left"),
            };
        }
        self.read_on(answer, gateway).await
    }

    async fn read_on(&mut self, mut answer: Answer, gateway: &Gateway) -> io::Result<&'static str> {
        let slow = self.habit == Habit::Slow;
        let most = if slow { SLOW_PIECE } else { PIECE };
        let mut portion = 0;
        loop {
            if self.habit == Habit::Stalling {
                self.reader.until_it_may_read().await;
            }
            let mut body = Vec::new();
            let Ok(more) = timeout(SILENCE, answer.next(most, &mut body)).await else {
                return Ok("the gateway was silent");
            };
            if !more? {
                return Ok("the gateway ended it");
            }
            let reader = &self.reader;
            self.parser.feed(&body, |message| note(reader, gateway, &message));
            portion += body.len();
            drop(body);
            if slow && portion >= SLOW_PORTION {
                portion = 0;
                // What makes it slow.
                sleep(Duration::from_millis(self.rng.u64(SLOW_PAUSE_MS))).await;
            }
        }
    }
}

/// Records what a stream tells.
fn note(reader: &Reader, gateway: &Gateway, message: &Message) {
    let noted = match message.kind.as_str() {
        "snapshot" => Publication::read(&message.data).map(|read| reader.takes(read, gateway)),
        "stale" => freshness(reader, gateway, Function::Stale, &message.data),
        "fresh" => freshness(reader, gateway, Function::Fresh, &message.data),
        "gone" => serde_json::from_slice(&message.data).map(|Gone { gone }| reader.loses(&gone)),
        _ => Ok(()),
    };
    if let Err(error) = noted {
        reader.is_given(format!("{} that is malformed: {error}", message.kind), gateway);
    }
}

fn freshness(
    reader: &Reader,
    gateway: &Gateway,
    f: Function,
    data: &[u8],
) -> serde_json::Result<()> {
    let Freshness { endpoint, age } = serde_json::from_slice(data)?;
    let event = reader.event(Kind::Info, f, gateway).endpoint(&endpoint);
    reader.history.record(match age {
        Some(age) => event.value(age),
        None => event,
    });
    Ok(())
}
