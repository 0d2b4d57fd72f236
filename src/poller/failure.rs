//! Why a poll failed, told apart by what a person would do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::StatusCode;

use super::client::ResolveError;
use super::excerpt;
use crate::config::EndpointConfig;

/// A poll that brought nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PollFailure {
    /// What kind of failure it was.
    pub kind: PollFailureKind,
    /// What happened, where, and what to do. Holds no header's value, no credentials and no query.
    pub message: String,
    /// How long the backend asks not to be polled, from now on: for an hour at the most. `None`: it asks
    /// for nothing of the kind.
    pub retry_after: Option<Duration>,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollFailureKind {
    /// The host's name has no address.
    Resolve,
    /// No connection, or it broke before the answer was complete, be it in the middle of the body.
    Connect,
    /// No TLS with this server: its certificate, its protocol, or it does not speak TLS at all.
    Tls,
    /// Out of time: `connect_timeout` for the connection, name and TLS included, or `timeout` for
    /// the whole poll.
    Timeout,
    /// An answer other than 2xx, or a 304 that nobody asked for.
    Status,
    /// The body is larger than `max_body`.
    TooLarge,
    /// The answer is broken: not HTTP, or not in the content encoding it claims.
    Decode,
    /// A whole answer, but not the expected one.
    Expect,
    /// A redirect to another origin, without end, or to nowhere.
    Redirect,
}

impl PollFailureKind {
    /// Whether the host was not reached at all, which it might be from another machine.
    pub fn is_unreachable(self) -> bool {
        matches!(self, Self::Resolve | Self::Connect)
    }

    /// Whether there was a whole answer, though not one of use.
    pub(super) fn is_answer(self) -> bool {
        matches!(self, Self::Status | Self::Expect | Self::Redirect)
    }

    /// The name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::TooLarge => "too_large",
            Self::Decode => "decode",
            Self::Expect => "expect",
            Self::Redirect => "redirect",
        }
    }
}

/// How far a poll got.
#[derive(Clone, Copy, Debug)]
pub(super) enum Progress {
    /// The answer's head is awaited.
    Asked,
    /// The head is there, and this many bytes of the body, decompressed.
    Answered {
        /// The bytes so far.
        received: u64,
    },
}

/// A failure of this endpoint's poll, with its address in front.
pub(super) fn failure(
    endpoint: &EndpointConfig,
    kind: PollFailureKind,
    what: impl fmt::Display,
) -> PollFailure {
    let message = format!("{}: {what}", excerpt::place(&endpoint.url));
    PollFailure { kind, message, retry_after: None }
}

/// The whole poll took too long.
pub(super) fn timed_out(endpoint: &EndpointConfig, progress: Progress) -> PollFailure {
    let limit = Period(endpoint.timeout);
    let what = match progress {
        Progress::Asked => format!("no answer within {limit}"),
        Progress::Answered { received } => {
            format!("the body was not complete within {limit}, only {received} bytes were")
        }
    };
    let what = format!("{what}; is the backend slow, or the timeout too short?");
    failure(endpoint, PollFailureKind::Timeout, what)
}

/// The answer's status is not a good one; it may ask for rest.
pub(super) fn status(
    endpoint: &EndpointConfig,
    status: StatusCode,
    retry_after: Option<Duration>,
) -> PollFailure {
    let hint = match status {
        StatusCode::NOT_MODIFIED => "; it was not asked whether anything changed",
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => "; check the credentials in headers",
        StatusCode::NOT_FOUND | StatusCode::GONE => "; check the url",
        StatusCode::TOO_MANY_REQUESTS => "; poll less often",
        status if is_redirect(status) => "; this redirect has no usable place to go to",
        _ => "",
    };
    let kind =
        if is_redirect(status) { PollFailureKind::Redirect } else { PollFailureKind::Status };
    let rest = retry_after.map(|rest| format!("; it asks for {} of rest", Period(rest)));
    let what = format!("answered {status}, expected 2xx{hint}{}", rest.unwrap_or_default());
    PollFailure { retry_after, ..failure(endpoint, kind, what) }
}

/// Whether a status sends a poll elsewhere.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The request failed before the head of an answer was there.
pub(super) fn of_request(endpoint: &EndpointConfig, error: &reqwest::Error) -> PollFailure {
    if let Some(unresolved) = find::<ResolveError>(error) {
        let host = endpoint.url.host_str().unwrap_or_default();
        let what = format!("cannot resolve {host}: {unresolved}; check the url and the DNS");
        return failure(endpoint, PollFailureKind::Resolve, what);
    }
    if error.is_connect() && error.is_timeout() {
        let limit = Period(endpoint.connect_timeout);
        let what = format!("no connection within {limit}; check address, firewall and network");
        return failure(endpoint, PollFailureKind::Timeout, what);
    }
    let in_handshake = endpoint.url.scheme() == "https" && error.is_connect() && hung_up(error);
    let (kind, what, hint) = if error.is_timeout() {
        (PollFailureKind::Timeout, "the connection went dead", "")
    } else if in_handshake || find::<rustls::Error>(error).is_some() {
        (PollFailureKind::Tls, "no TLS", tls_hint(error))
    } else if error.is_connect() {
        let hint = "; is the backend up, and is this its port?";
        (PollFailureKind::Connect, "cannot connect", hint)
    } else if causes(error).any(is_parse) {
        let hint = "; is this the right port?";
        (PollFailureKind::Decode, "the answer is not HTTP", hint)
    } else {
        let what = "the connection broke before an answer";
        (PollFailureKind::Connect, what, "")
    };
    failure(endpoint, kind, format!("{what}: {}{hint}", chain(error)))
}

/// The body broke off after `received` bytes, decompressed.
pub(super) fn of_body(
    endpoint: &EndpointConfig,
    error: &reqwest::Error,
    received: u64,
) -> PollFailure {
    // What hyper did not report comes from the decompressor.
    let (kind, what) = if error.is_timeout() {
        (PollFailureKind::Timeout, "the connection went dead")
    } else if find::<rustls::Error>(error).is_some() {
        (PollFailureKind::Tls, "TLS broke")
    } else if find::<hyper::Error>(error).is_none() {
        (PollFailureKind::Decode, "the body is not in the content encoding it claims")
    } else if causes(error).any(is_malformed) {
        (PollFailureKind::Decode, "the body's framing is broken")
    } else {
        (PollFailureKind::Connect, "the connection broke in the middle of the body")
    };
    let what = format!("{what}, after {received} bytes: {}", chain(error));
    failure(endpoint, kind, what)
}

fn tls_hint(error: &reqwest::Error) -> &'static str {
    match find::<rustls::Error>(error) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "; does this port speak plain http? Then the url begins with http:"
        }
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "; the system's root certificates do not vouch for it: add its issuer there"
        }
        _ => "",
    }
}

/// Whether the other side closed the connection.
fn hung_up(error: &reqwest::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    })
}

fn is_parse(cause: &(dyn Error + 'static)) -> bool {
    cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse)
}

/// Whether the body's chunks are not as HTTP has them.
fn is_malformed(cause: &(dyn Error + 'static)) -> bool {
    let of_io = cause.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
    });
    of_io || is_parse(cause)
}

fn find<T: Error + 'static>(error: &reqwest::Error) -> Option<&T> {
    causes(error).find_map(|cause| cause.downcast_ref::<T>())
}

/// All causes, from the outermost on, with those that an [`io::Error`] wraps.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause| {
        let error: &'a (dyn Error + 'static) = *cause;
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .map(|wrapped| wrapped as &(dyn Error + 'static));
        wrapped.or_else(|| error.source())
    })
}

/// The causes in words, without what repeats or says nothing.
///
/// reqwest's own words are left out: they hold the whole address, secrets in its query included.
pub(super) fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in causes(error).filter(|cause| !cause.is::<reqwest::Error>()) {
        let text = cause.to_string();
        let says_nothing = text.starts_with("client error (") || text.is_empty();
        if !says_nothing && !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
    }
    parts.join(": ")
}

/// A duration in the words of the settings, such as `1s 500ms`.
struct Period(Duration);

impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(formatter)
    }
}
