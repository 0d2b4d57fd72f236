use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::eventually;

/// A child process, which never outlives its test.
pub struct Process {
    child: Child,
    pub name: String,
}

impl Process {
    /// Starts a program; both of its outputs go to a file.
    pub fn start(command: &mut Command, output: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = File::create(output).expect("a log file");
        let copy = file.try_clone().expect("the same log file");
        let child =
            command.stdin(Stdio::null()).stdout(file).stderr(copy).spawn().unwrap_or_else(
                |error| panic!("{name}: {error}: tests/run installs what is needed"),
            );
        Self { child, name }
    }

    /// Sends a signal, to this process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id above 0");
        assert!(pid.as_raw_nonzero().get() > 1, "never the first process");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Waits for the end.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let (child, name) = (&mut self.child, &self.name);
        let what = format!("the end of {name}");
        eventually(within, &what, || {
            let status = child.try_wait().expect("the process can be waited for");
            async move { status }
        })
        .await
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, which is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
