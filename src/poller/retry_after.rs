//! How long a backend asks not to be polled (`Retry-After`; RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The longest rest that is granted. No window of a usual quota is longer; and where a backend says
/// years, or milliseconds for seconds, its data is back within the hour.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);

/// The rest that an answer asks for, from its arrival at `now` by this machine's clock. `None`: it
/// asks for none, or nobody can tell for how much.
///
/// It is given in seconds, or ends at a date. How far away that is, the answer's own date tells; only
/// where it has none do the clocks of both machines have to agree.
pub(super) fn rest(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let rest = match value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds are a number beyond all bounds.
        true if !value.is_empty() => value.parse().map_or(LONGEST, Duration::from_secs),
        _ => {
            let until = httpdate::parse_http_date(value).ok()?;
            until.duration_since(date(headers, DATE).unwrap_or(now)).ok()?
        }
    };
    (!rest.is_zero()).then(|| rest.min(LONGEST))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// The wall clock: Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Duration = Duration::from_secs(784_111_777);

    fn asked(status: u16, headers: &[(HeaderName, &str)]) -> Option<u64> {
        let value = |value: &str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
        let headers = headers.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let rest = rest(status, &headers, SystemTime::UNIX_EPOCH + NOW)?;
        assert_eq!(rest.subsec_nanos(), 0);
        Some(rest.as_secs())
    }

    #[test]
    fn it_is_told_in_seconds_or_by_a_date() {
        for (value, seconds) in [
            ("3", Some(3)),
            ("003", Some(3)),
            ("3600", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            // Absurdly long.
            ("3601", Some(3600)),
            ("18446744073709551615", Some(3600)),
            ("18446744073709551616", Some(3600)),
            ("99999999999999999999999999999999999999999", Some(3600)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3600)),
            // No time to come.
            ("0", None),
            ("-3", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:36 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", None),
            // No time at all.
            ("", None),
            ("+3", None),
            ("3.5", None),
            ("3s", None),
            ("3, 4", None),
            ("soon", None),
            ("\u{663}", None),
            ("Mon, 06 Nov 1994 08:50:07 GMT", None),
            ("Sun, 99 Nov 1994 08:50:07 GMT", None),
            ("1994-11-06T08:50:07Z", None),
        ] {
            assert_eq!(asked(429, &[(RETRY_AFTER, value)]), seconds, "{value:?}");
        }
        assert_eq!(asked(429, &[]), None);
    }

    #[test]
    fn a_date_counts_from_that_of_the_answer() {
        let until = (RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT");
        for (date, seconds) in [
            ("Sun, 06 Nov 1994 08:50:00 GMT", Some(7)),
            ("Sun, 06 Nov 1994 08:50:07 GMT", None),
            ("Sun, 06 Nov 1994 09:50:00 GMT", None),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(3600)),
            ("today", Some(30)),
        ] {
            assert_eq!(asked(503, &[until.clone(), (DATE, date)]), seconds, "{date:?}");
            assert_eq!(asked(503, &[(RETRY_AFTER, "3"), (DATE, date)]), Some(3), "{date:?}");
        }
    }

    #[test]
    fn only_who_is_busy_is_left_alone() {
        for status in [429, 503] {
            assert_eq!(asked(status, &[(RETRY_AFTER, "3")]), Some(3), "{status}");
        }
        for status in [200, 302, 404, 413, 500, 502, 504] {
            assert_eq!(asked(status, &[(RETRY_AFTER, "3")]), None, "{status}");
        }
    }
}
