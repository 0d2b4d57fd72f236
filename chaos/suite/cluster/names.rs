//! Names for Redis and the backend, from a name server that can be stopped.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::command::run;
use super::waiting::holds;
use crate::address::{self, GATEWAYS, HARNESS, POLLERS};
use crate::run::{Outcome, Unknown};

pub(super) const BACKEND: &str = "backend.chaos.test";
pub(super) const REDIS: &str = "redis.chaos.test";
/// How long it may take to start, or to end.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The name server of a run, on the bridge.
pub(crate) struct Names {
    arguments: Vec<String>,
    log: std::path::PathBuf,
    process: Mutex<Option<Child>>,
}

/// By which name a replica reaches Redis: each by one of its own, since it may have a proxy.
pub(super) fn redis_for(replica: &str) -> String {
    format!("{replica}.{REDIS}")
}

impl Names {
    /// Starts it, and lets all processes of this run ask it and nobody else.
    pub(super) async fn serve(
        redis_of: impl Fn(&str) -> Ipv4Addr,
        directory: &Path,
    ) -> Outcome<Self> {
        let words = [
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--no-daemon",
            "--bind-interfaces",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--user=root",
        ];
        let mut arguments: Vec<String> = words.map(str::to_owned).to_vec();
        arguments.push(format!("--listen-address={HARNESS}"));
        arguments.push(format!("--address=/{BACKEND}/{}", address::BACKEND));
        for replica in POLLERS.iter().chain(&GATEWAYS) {
            arguments.push(format!("--address=/{}/{}", redis_for(replica), redis_of(replica)));
        }
        // In the mount namespace of this run alone.
        let resolver = format!("nameserver {HARNESS}\noptions timeout:1 attempts:2\n");
        put(directory, "/etc/resolv.conf", &resolver).await?;
        put(directory, "/etc/nsswitch.conf", "hosts: files dns\n").await?;
        let log = directory.join("names.log");
        let names = Self { arguments, log, process: Mutex::default() };
        names.start().await?;
        Ok(names)
    }

    /// Starts it, and waits until it answers.
    pub(crate) async fn start(&self) -> Outcome<()> {
        if self.process.lock().is_some() {
            return Err(Unknown("the name server runs already".to_owned()));
        }
        let output = fs::File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("dnsmasq");
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|error| Unknown(format!("dnsmasq: {error}")))?;
        *self.process.lock() = Some(child);
        holds(AT_ONCE, "the name server answers", || async { answers().await.then_some(()) }).await
    }

    /// Ends it: whoever asks for a name is refused at once.
    pub(crate) async fn stop(&self) -> Outcome<()> {
        let child = self.process.lock().take();
        let mut child = child.ok_or_else(|| Unknown("the name server does not run".to_owned()))?;
        child.kill()?;
        child.wait()?;
        if answers().await {
            return Err(Unknown("somebody else answers for the name server".to_owned()));
        }
        Ok(())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.lock().take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// Puts a file in place of one of the system's, for the processes of this run.
async fn put(directory: &Path, over: &str, text: &str) -> Outcome<()> {
    if !Path::new(over).exists() {
        return Err(Unknown(format!("{over}: there is none to be replaced")));
    }
    let name = over.rsplit('/').next().unwrap_or(over);
    let file = directory.join(name);
    fs::write(&file, text)?;
    run(&["mount", "--bind", &file.to_string_lossy(), over]).await?;
    Ok(())
}

/// Whether anybody answers a question for the backend's address.
async fn answers() -> bool {
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in BACKEND.split('.') {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let ask = async {
        let socket = UdpSocket::bind((HARNESS, 0)).await?;
        socket.connect((HARNESS, 53)).await?;
        socket.send(&question).await?;
        socket.recv(&mut [0; 512]).await
    };
    matches!(timeout(Duration::from_millis(200), ask).await, Ok(Ok(_)))
}
