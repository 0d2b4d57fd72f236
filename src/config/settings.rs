use std::net::SocketAddr;
use std::time::Duration;

use uuid::Uuid;

use super::errors::Position;
use super::reader::{Reader, Section, Setting, Trail};
use super::types::{AdminConfig, Config, GatewayConfig, LeaseConfig, Secret};
use super::values::{format_duration, http_url, whole_number};
use super::yaml::Node;
use super::{endpoints, redis};
use crate::model::ClusterName;

/// The settings at the top of the file.
pub(super) const SETTINGS: [&str; 11] = [
    "cluster",
    "replica",
    "address",
    "redis",
    "lease",
    "history",
    "endpoints",
    "defaults",
    "gateway",
    "admin",
    "drain",
];

/// The settings of `lease`.
pub(super) const LEASE: [&str; 4] = ["duration", "renew_deadline", "retry_period", "crash_probe"];

/// The settings of `gateway`.
pub(super) const GATEWAY: [&str; 2] = ["listen", "max_streams"];

/// The settings of `admin`.
pub(super) const ADMIN: [&str; 2] = ["listen", "token"];

/// The shortest retry period: more than a hundred renewals a second would serve nobody.
const SHORTEST_RETRY_PERIOD: Duration = Duration::from_millis(10);

/// The shortest crash probe: confirming what it found takes longer than this anyway.
const SHORTEST_CRASH_PROBE: Duration = Duration::from_millis(10);

/// What a token is expected to be.
const TOKEN: &str = "at least 8 letters, digits or signs of ASCII";

/// The longest history: beyond, a stream holds more than a Redis server has memory for.
pub(super) const LONGEST_HISTORY: u64 = 1_000_000_000;

/// The most streams of one gateway: each needs a socket, and Linux has no more for a process.
pub(super) const MOST_STREAMS: u64 = 1_048_576;

/// How many streams a gateway serves at once.
const STREAMS: usize = 10_000;

/// How long a replica may take to leave: below the 30 s after which Kubernetes kills.
const DRAIN: Duration = Duration::from_secs(20);

/// Walks over the tree. `None` only where the reader has noted an error.
pub(super) fn read(tree: &Node, reader: &mut Reader<'_>) -> Option<Config> {
    let root = Setting { position: &tree.position, trail: Trail::Root, node: tree };
    let section = reader.section(&root, &SETTINGS)?;

    let expected = "a name of 1 to 64 characters: a-z 0-9 . _ -, the first a letter or digit";
    let cluster = reader
        .required(&section, "cluster", expected)
        .and_then(|setting| reader.value(&setting, expected, |text| ClusterName::new(text).ok()));
    let hostname = hostname();
    let replica = match section.get("replica") {
        Some(setting) => reader.value(&setting, "1 to 128 letters, digits or signs", replica),
        None => Some(format!("{hostname}-{}", short_uuid())),
    };
    let redis = match section.get("redis") {
        Some(setting) => redis::read(&setting, reader).map(Some),
        None => Some(None),
    };
    let lease = match section.get("lease") {
        Some(setting) => lease(&setting, reader),
        None => Some(LeaseConfig::default()),
    };
    let history = match section.get("history") {
        Some(setting) => number(&setting, 0..=LONGEST_HISTORY, reader),
        None => Some(0),
    };
    let gateway = gateway(section.get("gateway"), reader);
    let admin = admin(section.get("admin"), reader);
    let address = match section.get("address") {
        Some(setting) => address(&setting, reader),
        None => admin.as_ref().map(|admin| default_address(admin.listen, &hostname)),
    };
    let drain = match section.get("drain") {
        Some(setting) => reader.duration(&setting),
        None => Some(DRAIN),
    };
    let endpoints = endpoints::read(&section, reader);
    if let (Some(gateway), Some(admin)) = (&gateway, &admin)
        && collide(gateway.listen, admin.listen)
    {
        let message = format!("expected another port than gateway.listen, found {}", admin.listen);
        let position = section.get("admin").map_or(section.position, |setting| setting.position);
        reader.refuse(position, Trail::Key(&Trail::Key(&Trail::Root, "admin"), "listen"), message);
    }
    if let (Some(lease), Some(Some(redis))) = (&lease, &redis)
        && redis.timeout >= lease.renew_deadline
    {
        let message = format!(
            "expected less than the renew_deadline of {}, within which a renewal is tried again, \
             found {}",
            format_duration(lease.renew_deadline),
            format_duration(redis.timeout)
        );
        let position = section.get("redis").map_or(section.position, |setting| setting.position);
        reader.refuse(position, Trail::Key(&Trail::Key(&Trail::Root, "redis"), "timeout"), message);
    }
    Some(Config {
        cluster: cluster?,
        replica: replica?,
        address: address?,
        redis: redis?,
        lease: lease?,
        history: history?,
        endpoints: endpoints?,
        gateway: gateway?,
        admin: admin?,
        drain: drain?,
    })
}

/// Whether two addresses cannot both be listened on.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let shared = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && shared
}

fn hostname() -> String {
    let name = gethostname::gethostname();
    match name.to_str() {
        Some(name) if replica(name).is_some() => name.to_owned(),
        _ => "pollux".to_owned(),
    }
}

/// What tells two replicas on one host apart.
fn short_uuid() -> String {
    let mut text = Uuid::new_v4().simple().to_string();
    text.truncate(8);
    text
}

/// A replica's name stands in tables and logs: it must be visible and in one piece.
fn replica(text: &str) -> Option<String> {
    let visible = |c: char| !c.is_whitespace() && !c.is_control();
    let fits = (1..=128).contains(&text.chars().count()) && text.chars().all(visible);
    fits.then(|| text.to_owned())
}

fn address(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let expected = "an http or https URL such as http://10.1.2.3:9090";
    let text = reader.text(setting, expected)?.text;
    match http_url(&text) {
        Ok(_) => Some(text.trim_end_matches('/').to_owned()),
        Err(why) => {
            let message = format!("expected {expected}: {why}");
            reader.refuse(setting.position, setting.trail, message);
            None
        }
    }
}

/// Where others reach the admin server. An unspecified IP means all of this host's, so its name
/// stands in.
fn default_address(listen: SocketAddr, hostname: &str) -> String {
    if listen.ip().is_unspecified() {
        format!("http://{hostname}:{}", listen.port())
    } else {
        format!("http://{listen}")
    }
}

fn lease(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<LeaseConfig> {
    let section = reader.section(setting, &LEASE)?;
    let mut part = |key, default| match section.get(key) {
        Some(setting) => reader.duration(&setting),
        None => Some(default),
    };
    let default = LeaseConfig::default();
    let duration = part("duration", default.duration);
    let renew_deadline = part("renew_deadline", default.renew_deadline);
    let retry_period = part("retry_period", default.retry_period);
    let crash_probe = match section.get("crash_probe") {
        Some(setting) => reader.duration_or_off(&setting),
        None => Some(default.crash_probe),
    };
    let lease = LeaseConfig {
        duration: duration?,
        renew_deadline: renew_deadline?,
        retry_period: retry_period?,
        crash_probe: crash_probe?,
    };
    match wrong_with_lease(&lease) {
        None => Some(lease),
        Some(message) => {
            reader.refuse(lease_position(&section), setting.trail, message);
            None
        }
    }
}

fn wrong_with_lease(lease: &LeaseConfig) -> Option<String> {
    let shown = format!(
        "found retry_period {}, renew_deadline {}, duration {}",
        format_duration(lease.retry_period),
        format_duration(lease.renew_deadline),
        format_duration(lease.duration),
    );
    if lease.retry_period >= lease.renew_deadline || lease.renew_deadline >= lease.duration {
        return Some(format!("expected retry_period < renew_deadline < duration, {shown}"));
    }
    if lease.retry_period < SHORTEST_RETRY_PERIOD {
        let shortest = format_duration(SHORTEST_RETRY_PERIOD);
        return Some(format!("expected a retry_period of at least {shortest}, {shown}"));
    }
    if let Some(probe) = lease.crash_probe
        && !(SHORTEST_CRASH_PROBE..=lease.duration).contains(&probe)
    {
        let shortest = format_duration(SHORTEST_CRASH_PROBE);
        let (longest, probe) = (format_duration(lease.duration), format_duration(probe));
        return Some(format!(
            "expected a crash_probe from {shortest} to the duration of {longest}, or 0s for none, \
             found {probe}"
        ));
    }
    None
}

/// Where to point for an error of the lease as a whole: at a variable that overrides it, if any.
fn lease_position<'a>(section: &Section<'a>) -> &'a Position {
    section
        .iter()
        .map(|(_, setting)| setting.position)
        .find(|position| matches!(position, Position::Variable(_)))
        .unwrap_or(section.position)
}

fn gateway(setting: Option<Setting<'_>>, reader: &mut Reader<'_>) -> Option<GatewayConfig> {
    let default = SocketAddr::from(([0, 0, 0, 0], 8080));
    let Some(setting) = setting else {
        return Some(GatewayConfig { listen: default, max_streams: STREAMS });
    };
    let section = reader.section(&setting, &GATEWAY)?;
    let listen = listen(&section, default, reader);
    let max_streams = match section.get("max_streams") {
        Some(setting) => number(&setting, 1..=MOST_STREAMS, reader)
            .and_then(|number| usize::try_from(number).ok()),
        None => Some(STREAMS),
    };
    Some(GatewayConfig { listen: listen?, max_streams: max_streams? })
}

fn admin(setting: Option<Setting<'_>>, reader: &mut Reader<'_>) -> Option<AdminConfig> {
    let default = SocketAddr::from(([127, 0, 0, 1], 9090));
    let Some(setting) = setting else {
        return Some(AdminConfig { listen: default, token: None });
    };
    let section = reader.section(&setting, &ADMIN)?;
    let listen = listen(&section, default, reader);
    let token = match section.get("token") {
        Some(setting) => token(&setting, reader).map(Some),
        None => Some(None),
    };
    Some(AdminConfig { listen: listen?, token: token? })
}

/// A token travels in a header, and must be more than a word that is easy to guess.
fn token(setting: &Setting<'_>, reader: &mut Reader<'_>) -> Option<Secret> {
    let text = reader.text(setting, TOKEN)?.text;
    if text.len() >= 8 && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(Secret::new(text));
    }
    let message = format!("expected {TOKEN}, found another text, which is not shown");
    reader.refuse(setting.position, setting.trail, message);
    None
}

fn listen(
    section: &Section<'_>,
    default: SocketAddr,
    reader: &mut Reader<'_>,
) -> Option<SocketAddr> {
    let expected = "an IP address and port such as 0.0.0.0:8080 or [::]:8080";
    match section.get("listen") {
        Some(setting) => reader.value(&setting, expected, |text| text.parse().ok()),
        None => Some(default),
    }
}

fn number(
    setting: &Setting<'_>,
    range: std::ops::RangeInclusive<u64>,
    reader: &mut Reader<'_>,
) -> Option<u64> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    let within = |text: &str| whole_number(text).filter(|number| range.contains(number));
    reader.value(setting, &expected, within)
}
