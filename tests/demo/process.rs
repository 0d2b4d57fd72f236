//! A demo in a process of its own.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Longer than anything here takes, even on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A running demo; it is killed when dropped.
pub(crate) struct Demo {
    child: Child,
    /// Where its page is, as it printed.
    pub(crate) address: String,
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stderr: String,
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pollux"));
    command
        .arg("demo")
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Demo {
    /// Starts a demo on a free port and waits for its address.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--port", "0"]).await
    }

    /// The same with other arguments; the address is the first that it prints.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = async {
            loop {
                let line = stdout.next_line().await.unwrap().expect("an address before the end");
                if let Some(at) = line.find("http://") {
                    return line[at..].trim().to_owned();
                }
            }
        };
        let address = timeout(LONG, address).await.expect("an address in time");
        Self { child, address, _stdout: stdout }
    }

    /// The host and port of its page.
    pub(crate) fn host(&self) -> &str {
        self.address.strip_prefix("http://").unwrap()
    }

    /// Presses Ctrl-C and waits for the end.
    pub(crate) async fn interrupt(self) -> Ended {
        let pid = self.child.id().unwrap();
        let kill = Command::new("kill").args(["-INT", &pid.to_string()]).status();
        assert!(kill.await.unwrap().success());
        end(self.child).await
    }
}

/// Runs a demo that is expected to end by itself.
pub(crate) async fn run_to_end(arguments: &[&str]) -> Ended {
    end(command(arguments).spawn().unwrap()).await
}

async fn end(mut child: Child) -> Ended {
    let mut text = String::new();
    let mut stderr = child.stderr.take().unwrap();
    let status = async {
        stderr.read_to_string(&mut text).await.unwrap();
        child.wait().await.unwrap()
    };
    let status = timeout(LONG, status).await.expect("an end in time");
    Ended { status: status.code(), stderr: text }
}
