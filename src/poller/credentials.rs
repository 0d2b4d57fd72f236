//! The credentials in an endpoint's URL.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use percent_encoding::percent_decode_str;
use url::Url;

/// User and password as Basic authentication has them (RFC 7617), before they are encoded; `None` where
/// the URL has none.
fn joined(url: &Url) -> Option<Vec<u8>> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut joined: Vec<u8> = percent_decode_str(url.username()).collect();
    joined.push(b':');
    joined.extend(percent_decode_str(url.password().unwrap_or_default()));
    Some(joined)
}

/// What stands behind `Basic` in the header `Authorization`.
pub(super) fn basic(url: &Url) -> Option<String> {
    joined(url).map(|joined| BASE64.encode(joined))
}

/// What must not be quoted of them: a user without a password is often a token.
pub(super) fn secrets(url: &Url) -> Vec<String> {
    let Some(encoded) = basic(url) else { return Vec::new() };
    let secret = url.password().unwrap_or(url.username());
    let decoded = percent_decode_str(secret).decode_utf8_lossy().into_owned();
    vec![secret.to_owned(), decoded, encoded]
}

/// The URL without them: in a request they are in a header alone, and HTTP/2 forbids them elsewhere.
pub(super) fn without(url: &Url) -> Url {
    let mut url = url.clone();
    // An error means that the URL has no room for credentials, and so none.
    url.set_username("").and_then(|()| url.set_password(None)).ok();
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn credentials_are_decoded_before_they_are_encoded() {
        let encoded = |text: &str| basic(&url(text));
        assert_eq!(encoded("http://a.example/"), None);
        assert_eq!(encoded("http://u:p%40%3A@a.example/"), Some(BASE64.encode("u:p@:")));
        assert_eq!(encoded("http://token@a.example/"), Some(BASE64.encode("token:")));
        assert_eq!(encoded("http://:pw@a.example/"), Some(BASE64.encode(":pw")));
    }

    #[test]
    fn every_form_of_them_is_secret() {
        let secrets = secrets(&url("http://u:hunter%32@a.example/"));
        assert_eq!(secrets, ["hunter%32", "hunter2", &BASE64.encode("u:hunter2")]);
    }

    #[test]
    fn nothing_else_of_the_url_is_lost() {
        let bare = without(&url("http://u:p@a.example:81/b?c"));
        assert_eq!(bare.as_str(), "http://a.example:81/b?c");
    }
}
