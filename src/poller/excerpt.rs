//! Foreign text in messages: short, on one line, and without the endpoint's secrets.

use url::Url;

use super::credentials;
use crate::config::EndpointConfig;

/// The most characters quoted from an answer.
const QUOTED: usize = 120;
/// The most characters shown of an address.
const ADDRESS: usize = 300;
/// What takes the place of a secret.
const HIDDEN: &str = "…";
/// Whole values from this many bytes on are hidden; shorter ones would blot out ordinary text.
const SHORTEST_SECRET: usize = 4;
/// Parts of a value from this many bytes on are hidden: `Bearer` is no secret, its token is.
const SHORTEST_PART: usize = 8;

/// An address for messages: without user, password, query and fragment.
pub(super) fn place(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    let place = if url.origin().is_tuple() {
        format!("{origin}{}", url.path())
    } else {
        format!("{}:", url.scheme())
    };
    shorten(&place, ADDRESS)
}

/// The beginning of what a backend sent, for messages.
///
/// A backend may echo the request, so whatever the endpoint's settings hold in secret is taken
/// out first.
pub(super) fn quote(endpoint: &EndpointConfig, sent: &[u8]) -> String {
    let secrets = secrets(endpoint);
    // Enough to fill the quotation even where secrets fall out of it, and to hold each one whole.
    let window = 4 * QUOTED + secrets.iter().map(String::len).sum::<usize>();
    let mut text = String::from_utf8_lossy(&sent[..sent.len().min(window)]).into_owned();
    for secret in &secrets {
        text = text.replace(secret, HIDDEN);
    }
    let plain: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    shorten(&words.join(" "), QUOTED)
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What must not be quoted, the longest first.
fn secrets(endpoint: &EndpointConfig) -> Vec<String> {
    let url = &endpoint.url;
    let mut values: Vec<String> =
        endpoint.headers.iter().map(|(_, value)| value.expose().to_owned()).collect();
    values.extend(url.query().map(str::to_owned));
    values.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
    values.extend(credentials::secrets(url));
    let parts: Vec<String> = values
        .iter()
        .flat_map(|value| value.split(|c: char| c.is_whitespace() || ";,:=&\"".contains(c)))
        .filter(|part| part.len() >= SHORTEST_PART)
        .map(str::to_owned)
        .collect();
    values.retain(|value| value.len() >= SHORTEST_SECRET);
    values.extend(parts);
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD as BASE64;

    use super::*;
    use crate::config::{Expectation, Secret};
    use crate::model::EndpointName;

    fn endpoint(url: &str, headers: &[(&str, &str)]) -> EndpointConfig {
        EndpointConfig {
            name: EndpointName::new("prices").unwrap(),
            url: Url::parse(url).unwrap(),
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            max_body: 1000,
            stale_after: Duration::from_secs(3),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
                .collect(),
            expect: Expectation::Json,
        }
    }

    #[test]
    fn a_place_has_neither_credentials_nor_query() {
        let url = Url::parse("https://user:hunter2@api.example:8443/prices?key=s3cret#x").unwrap();
        assert_eq!(place(&url), "https://api.example:8443/prices");
        assert_eq!(place(&Url::parse("mailto:a@b.example").unwrap()), "mailto:");
    }

    #[test]
    fn a_quotation_is_one_short_line_without_control_characters() {
        let quoted = quote(&endpoint("http://a.example/", &[]), b"<html>\r\n\x1b[31m \xff red");
        assert_eq!(quoted, "<html> [31m \u{fffd} red");
        let long = quote(&endpoint("http://a.example/", &[]), &[b'a'; 10_000]);
        assert_eq!(long.chars().count(), QUOTED + 1);
    }

    #[test]
    fn echoed_secrets_are_hidden_whole_and_in_part() {
        let endpoint = endpoint(
            "http://user:hunter2@a.example/?key=query-secret",
            &[("Authorization", "Bearer token-of-mine"), ("Cookie", "session=cookie-secret; a=b")],
        );
        let basic = BASE64.encode("user:hunter2");
        let echo = format!(
            "token-of-mine query-secret cookie-secret hunter2 {basic} Bearer token-of-mine end"
        );
        assert_eq!(quote(&endpoint, echo.as_bytes()), "… … … … … … end");
    }

    #[test]
    fn a_secret_at_the_edge_of_the_quotation_is_hidden_too() {
        let secret = "x".repeat(5_000);
        let endpoint = endpoint("http://a.example/", &[("Authorization", &secret)]);
        let echo = format!("{}{secret}", "a ".repeat(QUOTED / 2 - 2));
        assert!(!quote(&endpoint, echo.as_bytes()).contains('x'));
    }
}
