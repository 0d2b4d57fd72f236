//! Makes runs, each as a process in namespaces of its own. Whatever a run makes there (processes,
//! networks, mounts) ends with it, however it ends. And it ends when nobody waits for it any more: it holds
//! one end of a pipe, and this process the other.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::checker::Verdict;
use crate::cluster;
use crate::run::{Outcome, Timing, Unknown};
use crate::trial::Trial;

/// The longest that a run may take, beside twenty lease durations.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a run that is called off may take to remove what it has made.
const LEAVES: Duration = Duration::from_secs(5);

/// How runs are made.
#[derive(Clone, Debug)]
pub(crate) struct Conductor {
    /// The lease duration, as the command line has it.
    pub lease: Duration,
    pub binary: PathBuf,
    /// Below which each run has a directory.
    pub report: PathBuf,
    /// How many runs there are at once.
    pub jobs: usize,
    /// Cancelled: no more runs are made, and those that are being made end at once.
    pub called_off: CancellationToken,
}

/// A run that was made, or could not be.
pub(crate) struct Made {
    pub trial: Trial,
    pub verdict: Verdict,
    pub directory: PathBuf,
}

impl Conductor {
    /// Makes the runs and tells of each as it ends; yields them in the order in which they ended.
    pub(crate) async fn make_all(
        &self,
        trials: impl Iterator<Item = Trial>,
        tell: impl Fn(&Made),
    ) -> Vec<Made> {
        let trials = trials.take_while(|_| !self.called_off.is_cancelled());
        let runs = stream::iter(trials).map(|trial| self.make(trial));
        let mut runs = std::pin::pin!(runs.buffer_unordered(self.jobs));
        let mut all = Vec::new();
        while let Some(made) = runs.next().await {
            tell(&made);
            all.push(made);
        }
        all
    }

    async fn make(&self, trial: Trial) -> Made {
        let directory = self.report.join(format!("{}-{}", trial.name(), trial.seed));
        let verdict = match self.run_alone(&trial, &directory).await {
            Ok(verdict) => verdict,
            Err(Unknown(why)) => Verdict::unknown(&why),
        };
        cluster::remove_left();
        Made { trial, verdict, directory }
    }

    async fn run_alone(&self, trial: &Trial, directory: &Path) -> Outcome<Verdict> {
        if directory.exists() {
            fs::remove_dir_all(directory)?;
        }
        fs::create_dir_all(directory)?;
        let output = File::create(directory.join("output.log"))?;
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .arg(std::env::current_exe()?)
            .args(["--alone", &trial.name(), "--seed", &trial.seed.to_string()])
            .args(["--lease", &humantime::format_duration(self.lease).to_string()])
            .arg("--binary")
            .arg(&self.binary)
            .arg("--report")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Ctrl-C is for this process alone, which ends the run.
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(|error| Unknown(format!("unshare: {error}")))?;
        let status = self.end_of(child).await?;
        let Ok(verdict) = fs::read(directory.join("verdict.json")) else {
            let output = fs::read_to_string(directory.join("output.log")).unwrap_or_default();
            let last = output.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(Unknown(format!("it ended with {status}: {last}")));
        };
        Ok(serde_json::from_slice(&verdict)?)
    }

    /// Waits for a run's end, or makes it end.
    async fn end_of(&self, mut run: Child) -> Outcome<ExitStatus> {
        let held = run.stdin.take();
        let patience = PATIENCE + Timing::of(self.lease).lease() * 20;
        let why = tokio::select! {
            ended = timeout(patience, run.wait()) => match ended {
                Ok(status) => return Ok(status?),
                Err(_) => format!("it did not end within {} s", patience.as_secs()),
            },
            () = self.called_off.cancelled() => "called off".to_owned(),
        };
        end(run, held).await?;
        Err(Unknown(why))
    }
}

/// Ends a run; by force, if it does not end by itself.
async fn end(mut run: Child, held: Option<ChildStdin>) -> Outcome<()> {
    drop(held);
    match timeout(LEAVES, run.wait()).await {
        Ok(status) => _ = status?,
        Err(_) => run.kill().await?,
    }
    Ok(())
}

/// In the process of a run: cancelled when nobody waits for it any more, whatever became of whoever did.
/// A run that has not ended soon after that is ended here.
pub(crate) fn unwanted() -> CancellationToken {
    let unwanted = CancellationToken::new();
    let told = unwanted.clone();
    thread::spawn(move || {
        // Nobody writes to it: reading ends, with an error, when the other end is closed.
        io::stdin().read_exact(&mut [0]).ok();
        told.cancel();
    });
    let ends = unwanted.clone();
    tokio::spawn(async move {
        ends.cancelled().await;
        sleep(LEAVES).await;
        std::process::exit(3);
    });
    unwanted
}
