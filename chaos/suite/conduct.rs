//! Makes runs, each as a process in namespaces of its own. Whatever a run makes there (processes,
//! networks, mounts) ends with it, however it ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::checker::Verdict;
use crate::run::{Outcome, Timing, Unknown};
use crate::trial::Trial;

/// The longest that a run may take, beside twenty lease durations.
const PATIENCE: Duration = Duration::from_secs(180);

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
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| Unknown(format!("unshare: {error}")))?;
        let patience = PATIENCE + Timing::of(self.lease).lease() * 20;
        let Ok(status) = timeout(patience, child.wait()).await else {
            child.kill().await?;
            return Err(Unknown(format!("it did not end within {} s", patience.as_secs())));
        };
        let status = status?;
        let Ok(verdict) = fs::read(directory.join("verdict.json")) else {
            let output = fs::read_to_string(directory.join("output.log")).unwrap_or_default();
            let last = output.lines().last().unwrap_or("it said nothing").to_owned();
            return Err(Unknown(format!("it ended with {status}: {last}")));
        };
        Ok(serde_json::from_slice(&verdict)?)
    }
}
