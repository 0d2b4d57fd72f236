//! The configuration's JSON Schema: what editors complete and check, and what Helm refuses before
//! anything is installed.
//!
//! It says what each setting looks like by itself; how settings must fit together (the lease's
//! timings, timeouts within each other, names given twice), only the reader tells. Whatever the
//! schema refuses, the reader refuses too, but for settings that variables add to the file, and
//! URLs that are written unusually. It is draft 7, which every validator knows, and refers to
//! nothing, so that it can stand within another schema.

mod shapes;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value, json};

use super::endpoints::{LARGEST_BODY, LONGEST_HEADER, MOST_HEADERS, OWN_HEADERS};
use super::settings::{LONGEST_HISTORY, MOST_STREAMS};
use shapes::{
    ADDRESS, HEADER_NAME, HTTP_URL, LISTEN, MEDIA_RANGE, NUMBER, REDIS_URL, SIZE, duration,
    duration_or_off, list_or_text, number, or, scalar, text,
};

/// A setting with what it may be.
type Property = (&'static str, Value);

/// The JSON Schema of configuration files, draft 7.
pub fn schema() -> Value {
    let name = "The name that replicas and gateways which work together share.";
    let replica = "This replica's name. Default: the host's name and a short random number.";
    let address = "Where others reach this replica's admin server. Default: where it listens, \
                   by the host's name if on all addresses.";
    let history = "How many publications to keep.";
    let drain = "How long a replica may take to leave.";
    let mut schema = section(
        "The configuration of Pollux. Variables such as POLLUX__REDIS__URL override it; \
         ${env:NAME} and ${file:PATH} stand for secrets anywhere in a value.",
        vec![
            ("cluster", scalar(name, "[a-z0-9][a-z0-9._-]{0,63}")),
            ("replica", scalar(replica, r"[^\s]{1,128}")),
            ("address", text(address, HTTP_URL)),
            ("redis", redis()),
            ("lease", lease()),
            ("history", or(0, number(history, NUMBER, 0, LONGEST_HISTORY))),
            ("endpoints", endpoints()),
            ("defaults", section("What holds for endpoints that do not say otherwise.", policy())),
            ("gateway", gateway()),
            ("admin", admin()),
            ("drain", or("20s", duration(drain))),
        ],
    );
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = "Pollux".into();
    schema["required"] = json!(["cluster", "endpoints"]);
    // An interval of `defaults` is every endpoint's; without it, each must have its own.
    schema["if"] = json!({
        "not": { "required": ["defaults"], "properties": { "defaults": { "required": ["every"] } } }
    });
    schema["then"] =
        json!({ "properties": { "endpoints": { "items": { "required": ["every"] } } } });
    schema
}

/// A mapping with settings, and no others.
fn section(about: &str, properties: Vec<Property>) -> Value {
    let properties: Map<String, Value> =
        properties.into_iter().map(|(key, shape)| (key.to_owned(), shape)).collect();
    json!({
        "description": about,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

fn redis() -> Value {
    let nodes = format!(r"\s*{ADDRESS}\s*");
    let listed = format!("{nodes}(,{nodes})*");
    let addresses = |about| list_or_text(about, &nodes, &listed);
    let master = "The name under which Sentinel watches the master.";
    let mut sentinel = section(
        "The sentinels that know the master, in place of url.",
        vec![
            ("master", scalar(master, r"[^\s]+")),
            ("nodes", addresses("The sentinels' addresses; port 26379 unless given.")),
        ],
    );
    sentinel["required"] = json!(["master", "nodes"]);
    let file = |about| scalar(about, ".+");
    let mut tls = section(
        "How connections are encrypted; {} trusts the system's authorities.",
        vec![
            ("ca", file("The authorities' certificates, a PEM file.")),
            ("cert", file("The client certificate, a PEM file, for servers that ask for one.")),
            ("key", file("The private key of cert, a PEM file.")),
        ],
    );
    tls["dependencies"] = json!({ "cert": ["key"], "key": ["cert"] });
    let url = "The server, as redis://HOST:PORT/DATABASE, or rediss:// for TLS.";
    let timeout = "How long a connection, or an answer, may take; below lease.renew_deadline.";
    let mut redis = section(
        "Where Redis is: one of url, sentinel and cluster. Without redis everything stays in one \
         process: no redundancy.",
        vec![
            ("url", text(url, REDIS_URL)),
            ("sentinel", sentinel),
            ("cluster", addresses("Servers of a Redis Cluster; port 6379 unless given.")),
            ("username", scalar("The user to log in as, which needs a password.", "(.|\\n)*")),
            ("password", scalar("The password to log in with.", "(.|\\n)*")),
            ("tls", tls),
            ("timeout", or("500ms", duration(timeout))),
        ],
    );
    // None at all may be right: a variable often sets the URL.
    redis["minProperties"] = json!(1);
    redis["not"] = json!({ "anyOf": [
        { "required": ["url", "sentinel"] },
        { "required": ["url", "cluster"] },
        { "required": ["sentinel", "cluster"] },
    ] });
    redis
}

fn lease() -> Value {
    let total = "How long the lease lasts when nobody renews it.";
    let deadline = "For how long a leader tries to renew before it stops; below duration.";
    let retry = "How often the leader renews; below renew_deadline.";
    let probe = "How often a standby asks whether the leader lives; 0s: never.";
    section(
        "The lease's timings: retry_period < renew_deadline < duration.",
        vec![
            ("duration", or("6s", duration(total))),
            ("renew_deadline", or("4s", duration(deadline))),
            ("retry_period", or("1s", duration(retry))),
            ("crash_probe", or("100ms", duration_or_off(probe))),
        ],
    )
}

fn endpoints() -> Value {
    let name = "The name under which it is published; no two share one.";
    let url = "What is fetched.";
    let mut properties = vec![
        ("name", scalar(name, "[A-Za-z0-9][A-Za-z0-9._-]{0,63}")),
        ("url", text(url, HTTP_URL)),
    ];
    properties.extend(policy());
    let mut endpoint = section("One endpoint.", properties);
    endpoint["required"] = json!(["name", "url"]);
    json!({
        "description": "What is polled.",
        "type": "array",
        "minItems": 1,
        "items": endpoint,
    })
}

/// What an endpoint may say of how it is polled, and `defaults` for all.
fn policy() -> Vec<Property> {
    let every = "The interval from one poll to the next.";
    let timeout = "For a whole poll, the body included. Default: every, at most 10s.";
    let connect = "For the connection. Default: 2s, at most timeout.";
    let max_body = "The largest body after decompression, such as 512KiB; at most 64MiB.";
    let stale = "The age from which the data are called stale; more than every. Default: three \
                 times every, at least 3s.";
    let content_type = "What the answer's content type must be, such as text/csv or image/*, or a \
                        list; the body may then be anything.";
    let expect = vec![("content_type", list_or_text(content_type, MEDIA_RANGE, MEDIA_RANGE))];
    let about_expect = "What an answer must be beside 2xx. Default: JSON, whatever its type says.";
    vec![
        ("every", duration(every)),
        ("timeout", duration(timeout)),
        ("connect_timeout", duration(connect)),
        ("max_body", or("10MiB", number(max_body, SIZE, 1, LARGEST_BODY))),
        ("stale_after", duration(stale)),
        ("headers", headers()),
        ("expect", section(about_expect, expect)),
    ]
}

fn headers() -> Value {
    let own: Vec<String> =
        OWN_HEADERS.iter().flat_map(|name| [(*name).to_owned(), capitalised(name)]).collect();
    let mut value = scalar("A header's value.", "[\\t -~]*");
    value["maxLength"] = json!(LONGEST_HEADER);
    json!({
        "description": "Headers of the request, beside those of defaults.",
        "type": "object",
        "maxProperties": MOST_HEADERS,
        "propertyNames": { "pattern": format!("^{HEADER_NAME}$"), "not": { "enum": own } },
        "additionalProperties": value,
    })
}

/// A header's name as people write it, such as `If-None-Match`.
fn capitalised(name: &str) -> String {
    let word = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => word.to_owned(),
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

fn gateway() -> Value {
    let listen = "The IP address and port to listen on.";
    let streams = "How many streams it serves at once.";
    section(
        "The server for clients.",
        vec![
            ("listen", or("0.0.0.0:8080", text(listen, LISTEN))),
            ("max_streams", or(10_000, number(streams, NUMBER, 1, MOST_STREAMS))),
        ],
    )
}

fn admin() -> Value {
    let listen = "The IP address and port to listen on.";
    let token = "What requests that change something must carry as their bearer token; without \
                 one, they are taken from this machine alone.";
    section(
        "The server for operators.",
        vec![
            ("listen", or("127.0.0.1:9090", text(listen, LISTEN))),
            ("token", scalar(token, "[!-~]{8,}")),
        ],
    )
}
