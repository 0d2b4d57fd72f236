use std::collections::HashMap;
use std::convert::Infallible;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;

use super::Answering;
use super::connection::Caller;
use crate::history::REST;

/// How much there is in a huge answer: far beyond `max_body`, which is 64 KiB in every run.
const HUGE: usize = 1 << 20;
const PIECE: usize = 64 * 1024;
/// How long the rest of a half-sent answer is waited for before the connection ends.
const HALF_WAY: Duration = Duration::from_millis(50);

/// How polls of an endpoint fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// They are answered with this status, and no body.
    Status(u16),
    /// They are answered with 429, and told to come back after so many whole seconds.
    RetryAfter(Duration),
    /// The same, told by the date at which to come back.
    RetryAfterDate(Duration),
    /// They are answered well, but that much later.
    Slow(Duration),
    /// The answer is good JSON, and does not end before [`HUGE`] bytes.
    Huge,
    /// The answer is broken JSON.
    Malformed,
    /// The connection is closed after half of the answer.
    HalfSent,
    /// The connection is reset instead of an answer.
    Reset,
}

/// Which endpoints fail.
#[derive(Default)]
pub(super) struct Failures(HashMap<String, Failure>);

impl Failures {
    pub(super) fn of(&self, endpoint: &str) -> Option<Failure> {
        self.0.get(endpoint).copied()
    }

    pub(super) fn set(&mut self, endpoint: &str, failure: Failure) {
        self.0.insert(endpoint.to_owned(), failure);
    }

    pub(super) fn remove(&mut self, endpoint: &str) {
        self.0.remove(endpoint);
    }
}

impl Failure {
    /// Fails a poll that would have been answered with `good`.
    pub(super) fn answer(self, good: &str, mut poll: Answering, caller: &Caller) -> Response {
        poll.fails(&self.to_string());
        let json = [(header::CONTENT_TYPE, "application/json")];
        let length = [(header::CONTENT_LENGTH, good.len())];
        let half = Bytes::copy_from_slice(&good.as_bytes()[..good.len() / 2]);
        match self {
            Self::Status(status) => {
                let status = StatusCode::from_u16(status);
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
            }
            Self::RetryAfter(wait) => come_back(wait.as_secs().to_string()),
            Self::RetryAfterDate(wait) => come_back(http_date(wait)),
            Self::Slow(_) => (json, good.to_owned()).into_response(),
            Self::Malformed => (json, half).into_response(),
            Self::Huge => (json, huge(poll)).into_response(),
            Self::HalfSent => (json, length, broken_off(Some(half), poll)).into_response(),
            Self::Reset => {
                caller.is_to_be_reset();
                (json, length, broken_off(None, poll)).into_response()
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RetryAfter(wait) => write!(formatter, "{REST}{}", wait.as_millis()),
            // A date has whole seconds.
            Self::RetryAfterDate(wait) => {
                let wait = wait.saturating_sub(Duration::from_secs(1));
                write!(formatter, "{REST}{}", wait.as_millis())
            }
            other => write!(formatter, "{other:?}"),
        }
    }
}

fn come_back(when: String) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, when)]).into_response()
}

/// A JSON string of [`HUGE`] bytes, whose length is not told before.
fn huge(poll: Answering) -> Body {
    let text = std::iter::repeat_n(Bytes::from(vec![b'x'; PIECE]), HUGE / PIECE);
    let quote = || std::iter::once(Bytes::from_static(b"\""));
    let pieces = quote().chain(text).chain(quote());
    Body::from_stream(stream::iter(pieces).map(move |piece| {
        // As long as it is being sent, the poll is not over.
        let _poll = &poll;
        Ok::<_, Infallible>(piece)
    }))
}

/// A body that breaks off, after a part that reaches the poller.
fn broken_off(part: Option<Bytes>, poll: Answering) -> Body {
    let wait = if part.is_some() { HALF_WAY } else { Duration::ZERO };
    let end = stream::once(async move {
        sleep(wait).await;
        drop(poll);
        Err(io::Error::other("it breaks off here"))
    });
    Body::from_stream(stream::iter(part.map(Ok)).chain(end))
}

/// The date in so long, as RFC 9110 has it: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[expect(clippy::disallowed_methods, reason = "a date in HTTP is by the wall clock")]
fn http_date(wait: Duration) -> String {
    date(SystemTime::now() + wait)
}

fn date(at: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let weekday = DAYS[(seconds / 86_400 % 7) as usize];
    // 1994-11-06T08:49:37Z
    let text = humantime::format_rfc3339_seconds(at).to_string();
    let month = text[5..7].parse::<usize>().map_or("Jan", |month| MONTHS[month - 1]);
    format!("{weekday}, {} {month} {} {} GMT", &text[8..10], &text[..4], &text[11..19])
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
