use axum::http::HeaderMap;

use crate::http::Problem;
use crate::model::Version;

/// How many endpoints one stream may ask for. The length of a query needs no limit of its own:
/// no address over 64 KiB is read.
pub const MOST_ENDPOINTS: usize = 1000;

/// What a client asks of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StreamQuery {
    /// The endpoints; at least one.
    pub(super) endpoints: Vec<String>,
    /// What the client has of them.
    pub(super) since: Version,
}

impl StreamQuery {
    /// Reads the query and the headers of a request. `Last-Event-ID` counts for more than
    /// `since`: a client that connects again repeats its address, but knows more by then. Other
    /// parameters are left to whoever else reads them.
    pub(super) fn parse(query: &str, headers: &HeaderMap) -> Result<Self, Problem> {
        let mut endpoints = Vec::new();
        let mut since = None;
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "endpoint" => endpoints.push(value.into_owned()),
                "since" if since.is_some() => {
                    return Err(Problem::bad_request("since is given more than once"));
                }
                "since" => since = Some(version("since", &value)?),
                _ => {}
            }
        }
        if endpoints.is_empty() {
            return Err(Problem::bad_request(
                "no endpoint is named: expected ?endpoint=<name>, once for each",
            ));
        }
        if endpoints.len() > MOST_ENDPOINTS {
            let asked = endpoints.len();
            return Err(Problem::bad_request(format!(
                "{asked} endpoints are named: expected at most {MOST_ENDPOINTS} for one stream"
            )));
        }
        let since = last_event_id(headers)?.or(since).unwrap_or(Version::NONE);
        Ok(Self { endpoints, since })
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Version>, Problem> {
    // Some clients that have none say so by an empty one.
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    version("Last-Event-ID", &String::from_utf8_lossy(value.as_bytes())).map(Some)
}

fn version(origin: &str, text: &str) -> Result<Version, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{origin} {text:?} is {error}")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn parse(query: &str, last_event_id: Option<&'static str>) -> Result<StreamQuery, Problem> {
        let mut headers = HeaderMap::new();
        if let Some(value) = last_event_id {
            headers.insert("last-event-id", HeaderValue::from_static(value));
        }
        StreamQuery::parse(query, &headers)
    }

    #[test]
    fn repeated_endpoints_are_all_read() {
        let query = parse("endpoint=a&_=17&endpoint=b%2Dc", None).unwrap();
        assert_eq!(query.endpoints, ["a", "b-c"]);
        assert_eq!(query.since, Version::NONE);
    }

    #[test]
    fn the_header_counts_for_more_than_the_parameter() {
        let since = |header| parse("endpoint=a&since=7-3", header).unwrap().since;
        assert_eq!(since(None), Version::new(7, 3));
        assert_eq!(since(Some("8-1")), Version::new(8, 1));
        assert_eq!(since(Some("")), Version::new(7, 3));
    }

    #[test]
    fn a_query_without_sense_is_refused() {
        let many = "endpoint=a&".repeat(MOST_ENDPOINTS + 1);
        for query in ["", "since=7-3", "endpoint=a&since=x", "endpoint=a&since=", &many] {
            assert!(parse(query, None).is_err(), "{query}");
        }
        assert!(parse("endpoint=a&since=7-1&since=7-2", None).is_err());
        assert!(parse("endpoint=a&since=7-1", Some("x")).is_err());
    }
}
