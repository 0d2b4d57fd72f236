//! `pollux check`: what a configuration would run, and what that costs.

use std::time::Duration;

use super::table::table;
use crate::config::{Config, LeaseConfig, TracesConfig, format_duration};
use crate::poller::{BEAT, Reachability};
use crate::store::PRESENCE_EVERY;

/// How many replicas the costs are stated for.
pub const REPLICAS: u32 = 3;

/// The hours of a month of 30 days, by which providers bill.
pub const MONTH_HOURS: f64 = 720.0;

/// How much later than the lease's end a standby holds it at the latest.
const TAKEOVER: Duration = Duration::from_millis(100);

/// What a cluster asks of others, per hour, while one leader goes on undisturbed.
///
/// A script counts as one command, and a subscription as none once it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// Requests to the polled backends, by the leader alone.
    pub backend_requests: f64,
    /// Connections to them without a request, by which every poller finds out what it reaches.
    pub backend_connections: f64,
    /// Commands to Redis while nothing changes.
    pub redis_commands_idle: f64,
    /// Commands to Redis when every poll finds a change and none share a batch.
    pub redis_commands_busy: f64,
}

impl Costs {
    /// Reckons the costs of a cluster of `replicas` pollers.
    ///
    /// Per leader: a renewal each retry period and a beat; and, for `redis_commands_busy`, one
    /// publication per poll. Per standby: a crash probe; without probing, a look at the lease
    /// shortly before each of its ends. Per replica: its presence each ten seconds, and as often a
    /// connection to each polled host. Gateways add nothing but their subscription.
    /// Retries, takeovers and redirects are left out. The embedded store costs no commands.
    pub fn of(config: &Config, replicas: u32) -> Self {
        let polls = config.endpoints.iter().map(|endpoint| per_hour(endpoint.every)).sum();
        let hosts = f64::from(Reachability::new(&config.endpoints).checked());
        let present = per_hour(PRESENCE_EVERY);
        if config.redis.is_none() {
            return Self {
                backend_requests: polls,
                backend_connections: hosts * present,
                redis_commands_idle: 0.0,
                redis_commands_busy: 0.0,
            };
        }
        let lease = config.lease;
        let leader = per_hour(lease.retry_period) + per_hour(BEAT);
        // What is left of the lease when a standby looks is its duration, or up to a retry period
        // less.
        let look = lease.crash_probe.unwrap_or(lease.duration - lease.retry_period);
        let standby = per_hour(look);
        let standbys = f64::from(replicas.saturating_sub(1));
        let idle = leader + standbys * standby + f64::from(replicas) * present;
        Self {
            backend_requests: polls,
            backend_connections: f64::from(replicas) * hosts * present,
            redis_commands_idle: idle,
            redis_commands_busy: idle + polls,
        }
    }
}

fn per_hour(interval: Duration) -> f64 {
    3600.0 / interval.as_secs_f64()
}

/// Says what would run: names and addresses, the lease's timings and what they mean, the
/// endpoints, and the costs for three replicas. Shows no secrets; a URL's path is shown.
pub fn report(config: &Config) -> String {
    let sections = [overview(config), lease(&config.lease), endpoints(config), costs(config)];
    sections.join("\n")
}

fn overview(config: &Config) -> String {
    let store = match &config.redis {
        Some(redis) => format!("Redis, {redis}, timeout {}", format_duration(redis.timeout)),
        None => "embedded store: one process, no redundancy".to_owned(),
    };
    let history = match config.history {
        0 => "none".to_owned(),
        kept => format!("{} publications", grouped(kept as f64)),
    };
    let gateway = &config.gateway;
    let streams = grouped(gateway.max_streams as f64);
    let mut text = table(
        &[],
        &[
            vec!["cluster".into(), config.cluster.to_string()],
            vec!["store".into(), store],
            vec!["replica".into(), config.replica.clone()],
            vec!["address".into(), config.address.clone()],
            vec!["gateway".into(), format!("{}, at most {streams} streams", gateway.listen)],
            vec!["admin".into(), config.admin.listen.to_string()],
            vec!["history".into(), history],
            vec!["traces".into(), traces(config)],
            vec!["drain".into(), format_duration(config.drain)],
        ],
    );
    if config.redis.is_none() {
        text.push_str("\nwarning: without `redis` nothing takes over when this process ends\n");
    }
    text
}

fn traces(config: &Config) -> String {
    match &config.traces {
        Some(TracesConfig { url, ratio, .. }) => format!("{url}, ratio {ratio}"),
        None => "none".to_owned(),
    }
}

fn lease(lease: &LeaseConfig) -> String {
    let takeover = format_duration(lease.duration + TAKEOVER);
    let probing = "a standby asks this often whether the leader has crashed".to_owned();
    let off = "off: a crashed leader is replaced when its lease ends".to_owned();
    let row = |name: &str, duration, meaning: String| {
        vec![name.to_owned(), format_duration(duration), meaning]
    };
    table(
        &["lease"],
        &[
            row(
                "duration",
                lease.duration,
                format!("a leader lost with its machine is replaced within {takeover}"),
            ),
            row(
                "renew_deadline",
                lease.renew_deadline,
                "a leader stops when it has tried to renew for this long".to_owned(),
            ),
            row("retry_period", lease.retry_period, "the leader renews this often".to_owned()),
            match lease.crash_probe {
                None => vec!["crash_probe".to_owned(), "0s".to_owned(), off],
                Some(every) => row("crash_probe", every, probing),
            },
        ],
    )
}

fn endpoints(config: &Config) -> String {
    let rows: Vec<_> = config
        .endpoints
        .iter()
        .map(|endpoint| {
            vec![
                endpoint.name.to_string(),
                format_duration(endpoint.every),
                format_duration(endpoint.timeout),
                format_duration(endpoint.stale_after),
                endpoint.shown_url(),
            ]
        })
        .collect();
    table(&["endpoint", "every", "timeout", "stale after", "url"], &rows)
}

fn costs(config: &Config) -> String {
    let costs = Costs::of(config, REPLICAS);
    let row = |name: &str, hourly: f64| {
        vec![name.to_owned(), grouped(hourly), grouped(hourly * MONTH_HOURS)]
    };
    let mut rows = vec![
        row("backend requests", costs.backend_requests),
        row("backend connections, no request", costs.backend_connections),
    ];
    let mut heading = "cost of one process".to_owned();
    if config.redis.is_some() {
        heading = format!("cost of {REPLICAS} replicas");
        rows.push(row("Redis commands, nothing changes", costs.redis_commands_idle));
        rows.push(row("Redis commands, every poll changes", costs.redis_commands_busy));
    }
    table(&[&heading, "per hour", "per 30 days"], &rows)
}

/// A number rounded to the whole, in groups of three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    fn config(yaml: &str) -> Config {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        Config::load(file.path(), &Environment::default()).unwrap()
    }

    const EMBEDDED: &str = "\
cluster: c
replica: r
endpoints:
  - {name: prices, url: 'http://me:hunter2@localhost:9000/prices?key=hunter2', every: 2s}
  - {name: a, url: 'https://example.com', every: 1h, timeout: 3s}
";

    #[test]
    fn the_report_says_what_would_run_without_secrets() {
        let traces = "{endpoint: 'http://collector:4318', headers: {x-key: hunter2}}";
        let yaml =
            format!("{EMBEDDED}redis: {{url: 'redis://me:hunter2@localhost'}}\ntraces: {traces}\n");
        let expected = "\
cluster  c
store    Redis, redis://localhost:6379/0, timeout 500ms
replica  r
address  http://127.0.0.1:9090
gateway  0.0.0.0:8080, at most 10,000 streams
admin    127.0.0.1:9090
history  none
traces   http://collector:4318/v1/traces, ratio 0.01
drain    20s

lease
duration        6s     a leader lost with its machine is replaced within 6s100ms
renew_deadline  4s     a leader stops when it has tried to renew for this long
retry_period    1s     the leader renews this often
crash_probe     100ms  a standby asks this often whether the leader has crashed

endpoint  every  timeout  stale after  url
prices    2s     2s       6s           http://localhost:9000/prices?…
a         1h     3s       3h           https://example.com/

cost of 3 replicas                  per hour  per 30 days
backend requests                    1,801     1,296,720
backend connections, no request     2,160     1,555,200
Redis commands, nothing changes     80,680    58,089,600
Redis commands, every poll changes  82,481    59,386,320
";
        assert_eq!(report(&config(&yaml)), expected);
    }

    #[test]
    fn the_report_warns_of_the_embedded_store() {
        let report = report(&config(EMBEDDED));
        assert!(report.contains("embedded store: one process, no redundancy"));
        assert!(!report.contains("Redis"));
    }

    #[test]
    fn costs_follow_the_intervals() {
        let yaml = format!("{EMBEDDED}redis: {{url: redis://h}}\nlease: {{retry_period: 500ms}}\n");
        let costs = Costs::of(&config(&yaml), 1);
        // Renewals 7,200, beats 4,000, presence 360.
        let idle = 11_560.0;
        let expected = Costs {
            backend_requests: 1_801.0,
            // Two hosts.
            backend_connections: 720.0,
            redis_commands_idle: idle,
            redis_commands_busy: idle + 1_801.0,
        };
        assert_eq!(costs, expected);
    }
}
