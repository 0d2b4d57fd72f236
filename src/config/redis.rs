use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::reader::{Reader, Setting};
use super::types::{RedisConfig, Secret};
use super::values::whole_number;

/// How long a connection to Redis, or an answer, may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// What the URL is expected to be.
const URL: &str = "a redis or rediss URL such as redis://localhost:6379/0";

/// Reads `redis`. `None` only where the reader has noted an error.
pub(super) fn read(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<RedisConfig> {
    let section = reader.section(setting, &["url", "username", "password", "timeout"])?;
    let secret = |key, reader: &mut Reader<'_>| match section.get(key) {
        Some(setting) => reader.text(&setting, "text").map(|value| Some(value.text)),
        None => Some(None),
    };
    let username = secret("username", reader);
    let password = secret("password", reader);
    let timeout = match section.get("timeout") {
        Some(setting) => reader.duration(&setting),
        None => Some(TIMEOUT),
    };
    let setting = reader.required(&section, "url", URL)?;
    let text = reader.text(&setting, URL)?.text;
    let (username, password) = (username?, password?);
    match redis_url(&text, username, password) {
        Ok((url, username, password)) => Some(RedisConfig {
            url,
            username,
            password: password.map(Secret::new),
            timeout: timeout?,
        }),
        Err(message) => {
            reader.refuse(setting.position, setting.trail, message);
            None
        }
    }
}

/// Takes the credentials out of a Redis URL, where people paste them, so that the URL can be shown.
fn redis_url(
    text: &str,
    username: Option<String>,
    password: Option<String>,
) -> Result<(Url, Option<String>, Option<String>), String> {
    let refuse = |why: &str| format!("expected {URL}: {why}");
    let mut url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err(refuse("it has another scheme"));
    }
    if url.host().is_none_or(|host| host == Host::Domain("")) {
        return Err(refuse("it has no host"));
    }
    let database = url.path().trim_start_matches('/');
    if !database.is_empty() && whole_number(database).is_none() {
        return Err(refuse("its path is no database number"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it goes on after the database number"));
    }
    let decode = |text: &str| {
        let text = percent_decode_str(text).decode_utf8();
        text.map(Cow::into_owned).map_err(|_| refuse("its credentials are not UTF-8"))
    };
    let in_url = Some(decode(url.username())?).filter(|username| !username.is_empty());
    let username = in_one_place("username", in_url, username)?;
    let in_url = url.password().map(decode).transpose()?;
    let password = in_one_place("password", in_url, password)?;
    // Both succeed where there is a host.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err(refuse("it has no host"));
    }
    Ok((url, username, password))
}

fn in_one_place(
    what: &str,
    in_url: Option<String>,
    setting: Option<String>,
) -> Result<Option<String>, String> {
    if in_url.is_some() && setting.is_some() {
        return Err(format!("expected the {what} in one place, found it in redis.{what} too"));
    }
    Ok(in_url.or(setting))
}
