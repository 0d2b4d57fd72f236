//! `pollux status --watch` and `pollux tail` on a terminal: colours, and one screen drawn anew.

use std::fs::File;
use std::io::Read as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::process::Child;
use tokio::time::timeout;

use super::common::eventually;
use super::common::replica::{Replica, leader};
use super::{DEADLINE, command, configuration, json_backend};

/// How a frame begins.
const FRAME: &str = "\x1b[?2026h\x1b[H";

/// The program on a terminal of its own.
struct OnTerminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn start(arguments: &[&str], variable: (&str, &str)) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let side = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&side, size).unwrap();
        let mut command = command(arguments);
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color").env(variable.0, variable.1);
        command.stdin(side.try_clone().unwrap()).stdout(side).stderr(Stdio::null());
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut terminal, copy) = (File::from(terminal), Arc::clone(&shown));
        // Ends when the program has: reading fails once nobody has the other side.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = terminal.read(&mut buffer) {
                copy.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, shown }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until something was shown so many times.
    async fn shows(&self, what: &str, times: usize) -> String {
        eventually(DEADLINE, &format!("{what:?} is shown {times} times"), || async {
            Some(self.shown()).filter(|shown| shown.matches(what).count() >= times)
        })
        .await
    }

    /// Ends it as Ctrl-C does.
    async fn interrupted(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.child.id().unwrap() as i32).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        timeout(DEADLINE, self.child.wait()).await.expect("it ends").unwrap()
    }
}

/// Whether a sequence for colours or other emphasis is in a text.
fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.trim_start_matches(|character: char| character.is_ascii_digit());
        end.len() < rest.len() && end.starts_with('m')
    })
}

/// What asks for colours, and what does not.
const VARIABLES: [((&str, &str), bool); 4] = [
    (("TERM", "xterm"), true),
    (("NO_COLOR", ""), true),
    (("NO_COLOR", "1"), false),
    (("TERM", "dumb"), false),
];

async fn polled() -> (Replica, impl Sized) {
    let backend = json_backend("[1]").await;
    let replica = Replica::start("castor", &configuration(&backend.url("/"), "")).await;
    leader(std::slice::from_ref(&replica), DEADLINE).await;
    (replica, backend)
}

#[tokio::test]
async fn status_draws_one_screen_anew_and_leaves_the_terminal_as_it_was() {
    let (replica, _backend) = polled().await;
    for (variable, coloured) in VARIABLES {
        let arguments = ["status", "--watch", "--url", &replica.admin];
        let mut watch = OnTerminal::start(&arguments, variable);
        watch.shows("castor", 1).await;
        let shown = watch.shows(FRAME, 3).await;
        assert!(shown.starts_with("\x1b[?1049h"), "{shown:?}");
        assert_eq!(is_coloured(&shown), coloured, "{variable:?}: {shown:?}");
        assert!(watch.interrupted().await.success());
        let shown = watch.shows("\x1b[?1049l", 1).await;
        assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
    }
}

#[tokio::test]
async fn tail_is_coloured_and_goes_on_line_by_line() {
    let (replica, _backend) = polled().await;
    for (variable, coloured) in VARIABLES {
        let arguments = ["tail", "--url", &replica.gateway];
        let mut tail = OnTerminal::start(&arguments, variable);
        let shown = tail.shows("[1]", 1).await;
        assert_eq!(is_coloured(&shown), coloured, "{variable:?}: {shown:?}");
        assert!(!shown.contains(FRAME), "{shown:?}");
        assert!(tail.interrupted().await.success());
    }
}
