//! What Redis did for whom, told by Redis itself: `MONITOR` shows each command in the order in which
//! it took effect, those inside scripts among them.

mod line;
mod script;

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::line::{Line, Source};
use self::script::Script;
use crate::address;
use crate::history::{Event, Function, History, Kind};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(1);
/// How soon a server is tried again. Whatever it does before is missed, and replicas connect as fast.
const RETRY: Duration = Duration::from_millis(3);
/// How often the connection is used, so that one whose server is gone is found out. The line that Redis
/// shows of it also ends the script before.
const PING: Duration = Duration::from_millis(200);
/// What is asked for at last, when all that was said before has been read.
const LAST_WORD: &str = "that-is-all";
/// How long a server that answers nothing is waited for at the end.
const LAST: Duration = Duration::from_secs(2);
const BUFFER: usize = 256 * 1024;

/// Records what a server does, until it is stopped or dropped.
pub(crate) struct Recorder {
    leaving: CancellationToken,
    watching: JoinHandle<()>,
}

impl Recorder {
    /// Watches the server at `at`, named `server`, through all its restarts. Of what it does for
    /// replicas, by themselves or through their proxies, claims, renewals, releases, publications and
    /// checks are recorded in the order of the server; each with its run id.
    ///
    /// It also records (`Process`) from when to when it watched: a server does things unseen in between.
    pub(crate) fn watch(
        history: &History,
        server: &str,
        at: SocketAddr,
        password: Option<&str>,
    ) -> Self {
        let leaving = CancellationToken::new();
        let watch = Watch {
            history: history.clone(),
            server: server.to_owned(),
            at,
            password: password.map(str::to_owned),
            leaving: leaving.clone(),
            last: 0,
        };
        Self { leaving, watching: tokio::spawn(watch.run()) }
    }

    /// Reads what the server has said so far, and stops.
    pub(crate) async fn stop(mut self) {
        self.leaving.cancel();
        // A server that is down or frozen has no more to say.
        timeout(LAST, &mut self.watching).await.ok();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

struct Watch {
    history: History,
    server: String,
    at: SocketAddr,
    password: Option<String>,
    leaving: CancellationToken,
    /// The stamp of the newest line: no two have the same, so that sorting keeps their order.
    last: u64,
}

impl Watch {
    async fn run(mut self) {
        while !self.leaving.is_cancelled() {
            if let Ok((lines, commands, run_id)) = self.connect().await {
                self.note(&format!("watched from here on, run id {run_id}"));
                let end = self.follow(lines, commands, &run_id).await;
                self.note(&format!("not watched any more: {end}"));
            } else {
                tokio::select! {
                    () = sleep(RETRY) => {}
                    () = self.leaving.cancelled() => {}
                }
            }
        }
    }

    /// Connects, learns the server's run id, and has it tell what it does from then on.
    async fn connect(&self) -> io::Result<(BufReader<OwnedReadHalf>, OwnedWriteHalf, String)> {
        let stream = timeout(CONNECT, TcpStream::connect(self.at)).await??;
        stream.set_nodelay(true)?;
        let (reading, mut commands) = stream.into_split();
        let mut lines = BufReader::with_capacity(BUFFER, reading);
        // All at once: what it does between two answers would be missed.
        let mut request = Vec::new();
        if let Some(password) = &self.password {
            request.extend(redis::cmd("AUTH").arg(password).get_packed_command());
        }
        request.extend(redis::cmd("INFO").arg("server").get_packed_command());
        request.extend(redis::cmd("MONITOR").get_packed_command());
        commands.write_all(&request).await?;
        let mut run_id = None;
        loop {
            let line = next(&mut lines).await?;
            if line.starts_with(b"-") {
                return Err(io::Error::other(String::from_utf8_lossy(&line).into_owned()));
            }
            if let Some(id) = line.strip_prefix(b"run_id:") {
                run_id = Some(String::from_utf8_lossy(id.trim_ascii()).into_owned());
            }
            // The one before the run id answers the password.
            if let (b"+OK\r\n", Some(run_id)) = (line.as_slice(), &run_id) {
                return Ok((lines, commands, run_id.clone()));
            }
        }
    }

    /// Reads what the server does until the connection ends; tells why.
    async fn follow(
        &mut self,
        lines: BufReader<OwnedReadHalf>,
        commands: OwnedWriteHalf,
        run_id: &str,
    ) -> io::Error {
        let leaving = self.leaving.clone();
        tokio::select! {
            error = self.read(lines, run_id) => error,
            error = keep_alive(commands, leaving) => error,
        }
    }

    async fn read(&mut self, mut lines: BufReader<OwnedReadHalf>, run_id: &str) -> io::Error {
        let mut script: Option<Script> = None;
        loop {
            let line = match next(&mut lines).await {
                Ok(line) => line,
                Err(error) => {
                    self.record(script.take(), run_id);
                    return error;
                }
            };
            let t = self.stamp();
            match Line::read(&line) {
                Some(Line { source: Source::Script, words }) => {
                    if let Some(script) = &mut script {
                        script.runs(t, &words);
                    }
                }
                Some(Line { source: Source::Client(address), words }) => {
                    self.record(script.take(), run_id);
                    script = replica(&address).and_then(|name| Script::begin(name, &words));
                }
                None if line.trim_ascii_end() == LAST_WORD.as_bytes() => {
                    self.record(script.take(), run_id);
                    return io::Error::other("the run is over");
                }
                None => {}
            }
        }
    }

    /// Records what a script did.
    fn record(&self, script: Option<Script>, run_id: &str) {
        for (t, event) in script.map(Script::end).unwrap_or_default() {
            self.history.record_at(t, event.server(&self.server, run_id));
        }
    }

    fn stamp(&mut self) -> u64 {
        self.last = self.history.now().max(self.last + 1);
        self.last
    }

    fn note(&mut self, what: &str) {
        let t = self.stamp();
        let event = Event::new(&self.server, Kind::Info, Function::Process);
        self.history.record_at(t, event.note(what));
    }
}

/// A line with its end.
async fn next(lines: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    lines.read_until(b'\n', &mut line).await?;
    if line.ends_with(b"\n") { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Uses the connection until it fails, or until `leaving`; then asks for the last word.
async fn keep_alive(mut commands: OwnedWriteHalf, leaving: CancellationToken) -> io::Error {
    let mut ticks = interval(PING);
    let ping = redis::cmd("PING").get_packed_command();
    let last = redis::cmd("ECHO").arg(LAST_WORD).get_packed_command();
    loop {
        let left = tokio::select! {
            _ = ticks.tick() => false,
            () = leaving.cancelled() => true,
        };
        let command = if left { &last } else { &ping };
        if let Err(error) = commands.write_all(command).await {
            return error;
        }
        if left {
            std::future::pending::<()>().await;
        }
    }
}

/// The replica that has an address or whose proxy has: servers that replicate each other, sentinels and
/// this process do nothing of their own.
fn replica(address: &str) -> Option<&'static str> {
    let address: SocketAddrV4 = address.parse().ok()?;
    let name = address::name_of((*address.ip()).into())?;
    let replicas = [address::POLLERS.as_slice(), address::GATEWAYS.as_slice()].concat();
    replicas.contains(&name).then_some(name)
}
