//! What happened in a run, as seen from outside: one line of JSON per event, one file per process.
//!
//! All stamps are of one clock, the monotonic one of this process: nobody else stamps anything. What
//! Redis accepted is told by Redis itself (`MONITOR`), what backends were asked by the backend, what
//! clients got by the clients.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use pollux::model::Version;
use serde::{Deserialize, Serialize};

use crate::run::{Outcome, Unknown};

/// How the note begins by which the recorder of a server says (`Process`, proc: the server) that it hears
/// what is done there from now on; what was done just before, it may have missed.
pub(crate) const WATCHED: &str = "watched from here on";
/// How the note begins by which a process (`Process`) says that it was started.
pub(crate) const STARTED: &str = "started";
/// The same, that it has ended.
pub(crate) const ENDED: &str = "ended";
/// The same, that it was stopped by SIGSTOP; or a client, that it was made to read no more.
pub(crate) const FROZEN: &str = "frozen";
/// The same, that it goes on after that.
pub(crate) const WOKEN: &str = "woken";

/// How the error begins of a poll that was told when to come back; so many ms follow.
pub(crate) const REST: &str = "429, come back after ms: ";

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// It begins.
    Invoke,
    /// It took effect.
    Ok,
    /// It did not.
    Fail,
    /// Nobody knows whether it did, or it is no operation.
    Info,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Function {
    /// `ok`: Redis took a claim: `term`, `lease`, `server`, `run_id`. Proc: the replica.
    Acquire,
    /// `ok`: Redis extended a lease: `lease`, `server`. Proc: the replica.
    Renew,
    /// `ok`: Redis took a lease back: `term`, `server`. Proc: the replica.
    Release,
    /// `ok`: Redis deleted the lease of a leader that was found dead: `term`, `server`. Proc: the standby.
    Reap,
    /// `ok`: a publication took effect: `term`, `seq`, `endpoint`, `hash`, `server`, `run_id`; or an
    /// empty batch did, without `endpoint`. In the order of the server. Proc: the replica.
    Publish,
    /// `ok`: Redis was told of a good check of `endpoint`: `term`, `server`. Proc: the replica.
    Check,
    /// `invoke`: a request reached the backend: `endpoint`. `ok`, `fail`: it was answered whole with a
    /// body (`hash`) or with 304 (without), or otherwise (`error`). Proc: the replica.
    Poll,
    /// `ok`: a client got a publication: `endpoint`, `term`, `seq`, `hash`, `gateway`; or, without
    /// `hash`, was told that it has the newest (304). Proc: the client.
    Read,
    /// `invoke`: a client connects to `gateway`, and says that it has `term` and `seq`, if any; `ok`: it
    /// was taken on; `fail`: it was not; `info`: the connection ended. Proc: the client.
    Connect,
    /// `info`: a stream was told that `endpoint` is stale. Proc: the client.
    Stale,
    /// `info`: a stream was told that `endpoint` is fresh again. Proc: the client.
    Fresh,
    /// `invoke`: a fault is about to be made (`note`: which); `ok`: it has landed, or was healed
    /// (`note`: what shows it). Proc: `harness`.
    Fault,
    /// `info`: what a server holds once quiet: `endpoint`, `term`, `seq`, `hash`. Proc: the server.
    Snapshot,
    /// `info`: the value of a metric: `note` is its name and labels, `value` the number. Proc: the process.
    Metric,
    /// `info`: what a process uses: `note` is `resident` (bytes) or `files` (open ones). Proc: the process.
    Usage,
    /// `info`: a process started or ended: `note`. Proc: the process.
    Process,
    /// `info`: what the record in Redis says at the end: `term`, `note`: the replica. Proc: the server.
    Record,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// When, in µs since the run began.
    pub t: u64,
    /// Who did it, or to whom it happened.
    pub proc: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub f: Function,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Of a body, see [`hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The lease's value, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The Redis server that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// That server's run id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The gateway that served it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Event {
    /// An event that is stamped when it is recorded.
    pub(crate) fn new(proc: &str, kind: Kind, f: Function) -> Self {
        Self {
            t: 0,
            proc: proc.to_owned(),
            kind,
            f,
            term: None,
            seq: None,
            endpoint: None,
            hash: None,
            error: None,
            lease: None,
            server: None,
            run_id: None,
            gateway: None,
            value: None,
            note: None,
        }
    }

    pub(crate) fn endpoint(mut self, endpoint: &str) -> Self {
        self.endpoint = Some(endpoint.to_owned());
        self
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        (self.term, self.seq) = (Some(version.term), Some(version.sequence));
        self
    }

    pub(crate) fn term(mut self, term: u64) -> Self {
        self.term = Some(term);
        self
    }

    pub(crate) fn hash(mut self, hash: String) -> Self {
        self.hash = Some(hash);
        self
    }

    pub(crate) fn error(mut self, error: impl ToString) -> Self {
        self.error = Some(error.to_string());
        self
    }

    pub(crate) fn lease(mut self, lease: &str) -> Self {
        self.lease = Some(lease.to_owned());
        self
    }

    pub(crate) fn server(mut self, server: &str, run_id: &str) -> Self {
        (self.server, self.run_id) = (Some(server.to_owned()), Some(run_id.to_owned()));
        self
    }

    pub(crate) fn gateway(mut self, gateway: &str) -> Self {
        self.gateway = Some(gateway.to_owned());
        self
    }

    pub(crate) fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The version that it is about.
    pub(crate) fn of_version(&self) -> Option<Version> {
        Some(Version { term: self.term?, sequence: self.seq? })
    }
}

/// How a body is named: equal bodies have equal hashes.
pub(crate) fn hash(body: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(body))
}

/// Records events, into a file per process.
#[derive(Clone)]
pub(crate) struct History {
    start: Instant,
    files: Arc<Mutex<Files>>,
}

struct Files {
    /// Nothing more is written.
    closed: bool,
    directory: PathBuf,
    open: HashMap<String, BufWriter<File>>,
}

impl History {
    /// Begins a history in a directory, which is made.
    pub(crate) fn begin(directory: &Path) -> Outcome<Self> {
        fs::create_dir_all(directory)?;
        let files = Files { closed: false, directory: directory.to_owned(), open: HashMap::new() };
        Ok(Self { start: Instant::now(), files: Arc::new(Mutex::new(files)) })
    }

    /// The time since the run began, in µs.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records an event that happens now, and tells when that is.
    pub(crate) fn record(&self, event: Event) -> u64 {
        let t = self.now();
        self.record_at(t, event);
        t
    }

    /// Records an event that happened at `t`.
    pub(crate) fn record_at(&self, t: u64, event: Event) {
        let event = Event { t, ..event };
        let mut files = self.files.lock();
        let Files { closed, directory, open } = &mut *files;
        if *closed {
            return;
        }
        let file = open.entry(event.proc.clone()).or_insert_with(|| {
            let path = directory.join(format!("{}.jsonl", event.proc));
            BufWriter::new(File::create(path).expect("a file of the report directory"))
        });
        let line = serde_json::to_string(&event).expect("an event is JSON");
        writeln!(file, "{line}").expect("the report directory has room");
    }

    /// Writes out what has been recorded, and records nothing more.
    pub(crate) fn close(&self) -> Outcome<()> {
        let mut files = self.files.lock();
        files.closed = true;
        for file in files.open.values_mut() {
            file.flush()?;
        }
        Ok(())
    }
}

/// Reads a history, in the order in which things happened.
pub(crate) fn read(directory: &Path) -> Outcome<Vec<Event>> {
    let mut events = Vec::new();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Outcome<_>>()?;
    paths.sort();
    for path in paths {
        for (number, line) in BufReader::new(File::open(&path)?).lines().enumerate() {
            let event: Event = serde_json::from_str(&line?)
                .map_err(|error| Unknown(format!("{}:{}: {error}", path.display(), number + 1)))?;
            events.push(event);
        }
    }
    events.sort_by_key(|event| event.t);
    Ok(events)
}
