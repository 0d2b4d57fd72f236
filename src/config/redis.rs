use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::reader::{Reader, Section, Setting, Trail};
use super::tls::{TlsConfig, TlsIdentity};
use super::types::{RedisConfig, RedisPlace, Secret, ServerAddress};
use super::yaml::{Node, Value};

/// How long a connection to Redis, or an answer, may take.
const TIMEOUT: Duration = Duration::from_millis(500);

/// The ports that Redis and Sentinel listen on unless told otherwise.
const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// What the URL is expected to be.
const URL: &str = "a redis or rediss URL such as redis://localhost:6379/0";

/// The settings of `redis`.
pub(super) const SETTINGS: [&str; 7] =
    ["url", "sentinel", "cluster", "username", "password", "tls", "timeout"];

/// The settings of `redis.sentinel`.
pub(super) const SENTINEL: [&str; 2] = ["master", "nodes"];

/// The settings of `redis.tls`.
pub(super) const TLS: [&str; 3] = ["ca", "cert", "key"];

/// What a Redis URL says.
struct FromUrl {
    address: ServerAddress,
    database: u32,
    encrypted: bool,
    username: Option<String>,
    password: Option<String>,
}

/// Reads `redis`. `None` only where the reader has noted an error.
pub(super) fn read(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<RedisConfig> {
    let section = reader.section(setting, &SETTINGS)?;
    let username = secret(&section, "username", reader);
    let password = secret(&section, "password", reader);
    let tls = match section.get("tls") {
        Some(setting) => tls(&setting, reader).map(Some),
        None => Some(None),
    };
    let timeout = match section.get("timeout") {
        Some(setting) => reader.duration(&setting),
        None => Some(TIMEOUT),
    };
    let place = ["url", "sentinel", "cluster"].map(|key| section.get(key));
    let (place, username, password, tls) = match place {
        [Some(url), None, None] => {
            let text = reader.text(&url, URL);
            let from_url = from_url(&url, &text?.text, username?, password?, reader)?;
            let tls = tls_beside_url(&url, &from_url, tls?, reader)?;
            let FromUrl { address, database, username, password, .. } = from_url;
            (RedisPlace::Server { address, database }, username, password, tls)
        }
        [None, Some(setting), None] => (sentinel(&setting, reader)?, username?, password?, tls?),
        [None, None, Some(setting)] => {
            let nodes = addresses(&setting, REDIS_PORT, reader)?;
            (RedisPlace::Cluster { nodes }, username?, password?, tls?)
        }
        several => {
            let found: Vec<String> =
                several.iter().flatten().map(|setting| setting.trail.to_string()).collect();
            let found = if found.is_empty() { "none".to_owned() } else { found.join(" and ") };
            let message = format!("expected one of url, sentinel and cluster, found {found}");
            reader.refuse(setting.position, setting.trail, message);
            return None;
        }
    };
    if username.is_some() && password.is_none() {
        // Without one nobody is logged in, and all goes on as the default user.
        let message = "expected a password with the username, found none".to_owned();
        reader.refuse(setting.position, setting.trail, message);
        return None;
    }
    Some(RedisConfig {
        place,
        username,
        password: password.map(Secret::new),
        tls,
        timeout: timeout?,
    })
}

fn secret(section: &Section<'_>, key: &str, reader: &mut Reader<'_>) -> Option<Option<String>> {
    match section.get(key) {
        Some(setting) => reader.text(&setting, "text").map(|value| Some(value.text)),
        None => Some(None),
    }
}

fn from_url(
    setting: &Setting<'_>,
    text: &str,
    username: Option<String>,
    password: Option<String>,
    reader: &mut Reader<'_>,
) -> Option<FromUrl> {
    match parse_url(text, username, password) {
        Ok(from_url) => Some(from_url),
        Err(message) => {
            reader.refuse(setting.position, setting.trail, message);
            None
        }
    }
}

/// Takes the credentials out of a Redis URL, where people paste them, so that the rest can be shown.
fn parse_url(
    text: &str,
    username: Option<String>,
    password: Option<String>,
) -> Result<FromUrl, String> {
    let refuse = |why: &str| format!("expected {URL}: {why}");
    let url = Url::parse(text).map_err(|error| refuse(&error.to_string()))?;
    if !matches!(url.scheme(), "redis" | "rediss") {
        return Err(refuse("it has another scheme"));
    }
    let host = match url.host() {
        Some(Host::Ipv6(ip)) => ip.to_string(),
        Some(host) if host != Host::Domain("") => host.to_string(),
        _ => return Err(refuse("it has no host")),
    };
    let database = match url.path().trim_start_matches('/') {
        "" => 0,
        digits if !digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(refuse("its path is no database number"));
        }
        digits => digits.parse().map_err(|_| refuse("its database number is too large"))?,
    };
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
    let address = ServerAddress { host, port: url.port().unwrap_or(REDIS_PORT) };
    Ok(FromUrl { address, database, encrypted: url.scheme() == "rediss", username, password })
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

/// `rediss://` is TLS with or without `tls`; `redis://` is not, and contradicts it.
fn tls_beside_url(
    url: &Setting<'_>,
    from_url: &FromUrl,
    tls: Option<TlsConfig>,
    reader: &mut Reader<'_>,
) -> Option<Option<TlsConfig>> {
    if tls.is_some() && !from_url.encrypted {
        let message = "expected rediss:// beside redis.tls, found redis://, which is without TLS";
        reader.refuse(url.position, url.trail, message.to_owned());
        return None;
    }
    Some(tls.or_else(|| from_url.encrypted.then(TlsConfig::default)))
}

fn sentinel(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<RedisPlace> {
    let section = reader.section(setting, &SENTINEL)?;
    let expected = "the name under which Sentinel watches the master, such as mymaster";
    let master = reader.required(&section, "master", expected).and_then(|setting| {
        let fits = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
        reader.value(&setting, expected, |text| fits(text).then(|| text.to_owned()))
    });
    let nodes = reader
        .required(&section, "nodes", ADDRESSES)
        .and_then(|setting| addresses(&setting, SENTINEL_PORT, reader));
    Some(RedisPlace::Sentinel { master: master?, nodes: nodes? })
}

const ADDRESSES: &str = "a list of addresses such as [one.example:6379, '[::1]:6379']";
const ADDRESS: &str = "an address such as one.example:6379 or [::1]:6379";

/// Reads addresses: a list, or one text with commas, as a variable must have it.
fn addresses(
    setting: &Setting<'_>,
    default_port: u16,
    reader: &mut Reader<'_>,
) -> Option<Vec<ServerAddress>> {
    let one = |text: &str| address(text.trim(), default_port);
    match &setting.node.value {
        Value::Text(_) => {
            reader.value(setting, ADDRESSES, |text| text.split(',').map(one).collect())
        }
        Value::List(items) if items.is_empty() => {
            let message = format!("expected {ADDRESSES}, found an empty list");
            reader.refuse(setting.position, setting.trail, message);
            None
        }
        _ => {
            let items = reader.list(setting, ADDRESSES)?;
            let read = |(index, node): (usize, &std::rc::Rc<Node>)| {
                reader.value(&setting.item(index, node), ADDRESS, one)
            };
            // Each item is read before any is found wrong, so that every error is noted.
            let read: Vec<Option<ServerAddress>> = items.iter().enumerate().map(read).collect();
            read.into_iter().collect()
        }
    }
}

/// Reads `host`, `host:port`, `[IPv6]` or `[IPv6]:port`.
fn address(text: &str, default_port: u16) -> Option<ServerAddress> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, rest) = rest.split_once(']')?;
            let ip: Ipv6Addr = ip.parse().ok()?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (ip.to_string(), port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || !host.bytes().all(of_name) {
        return None;
    }
    let port = match port {
        Some(digits) if !digits.bytes().all(|byte| byte.is_ascii_digit()) => return None,
        Some(digits) => digits.parse().ok().filter(|port| *port > 0)?,
        None => default_port,
    };
    Some(ServerAddress { host, port })
}

/// Reads the files' names, and the files themselves: what is wrong with them is best said at once.
fn tls(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<TlsConfig> {
    let section = reader.section(setting, &TLS)?;
    let mut file = |key| match section.get(key) {
        Some(setting) => reader.file(&setting).map(Some),
        None => Some(None),
    };
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    let identity = match (cert?, key?) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.missing(&section, "key", "the private key's file beside cert");
            return None;
        }
        (None, Some(_)) => {
            reader.missing(&section, "cert", "the certificate's file beside key");
            return None;
        }
    };
    let tls = TlsConfig { ca: ca?, identity };
    let Err(errors) = tls.read() else {
        return Some(tls);
    };
    for error in errors {
        let position =
            section.get(error.setting).map_or(section.position, |setting| setting.position);
        let message = format!("{}: {}", error.file.display(), error.message);
        reader.refuse(position, Trail::Key(section.trail, error.setting), message);
    }
    None
}
