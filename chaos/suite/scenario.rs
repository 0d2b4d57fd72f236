//! One run, in namespaces of its own: a cluster is started, a fault made and healed, and what was
//! recorded is judged.

use std::path::{Path, PathBuf};

use crate::checker::{self, Verdict};
use crate::cluster::Cluster;
use crate::fault::{Fault, Made};
use crate::history::{self, Event};
use crate::report;
use crate::run::{Outcome, Run, Timing, Unknown};
use crate::trial::Trial;

/// What a run needs beside its fault.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub timing: Timing,
    /// The program under test.
    pub binary: PathBuf,
    /// Where the run leaves its history and verdict.
    pub directory: PathBuf,
    /// What repeats the run.
    pub command: String,
}

/// Makes a run and judges it. An error: there is nothing to judge.
pub(crate) async fn make(trial: &Trial, means: &Means) -> Outcome<Verdict> {
    let Means { timing, binary, directory, command } = means;
    let layout = trial.layout().ok_or_else(|| {
        Unknown("these two faults need clusters of different kinds: choose others".to_owned())
    })?;
    let mut cluster = Cluster::start(layout, *timing, trial.seed, directory, binary).await?;
    let ready_at = cluster.history.now();
    let injected = inject(trial, &cluster).await;
    let quiet_at = cluster.settle().await;
    cluster.stop().await?;
    let run = Run {
        fault: format!("{} {}", trial.number(), trial.name()),
        title: trial.title(),
        seed: trial.seed,
        command: command.clone(),
        timing: *timing,
        endpoints: cluster.endpoints(),
        pollers: cluster.pollers.iter().map(|replica| replica.name().to_owned()).collect(),
        gateways: cluster.gateways.iter().map(|replica| replica.name().to_owned()).collect(),
        bound: trial.bound(timing),
        changes: trial.changes(timing),
        reclaims: trial.reclaims(),
        spared: trial.spared(),
        ready_at,
        quiet_at,
    };
    let events = history::read(&directory.join("history"))?;
    let verdict = match injected {
        Ok(()) => checker::check(&run, &events),
        Err(Unknown(why)) => Verdict::unknown(&why),
    };
    report::write(directory, &run, &events, &verdict)?;
    Ok(verdict)
}

/// Makes and heals the fault, or both.
async fn inject(trial: &Trial, cluster: &Cluster) -> Outcome<()> {
    let Some((second, later)) = trial.second else { return make_one(trial.fault, cluster).await };
    let second = async {
        cluster.pass(later).await;
        make_one(second, cluster).await
    };
    let (first, second) = tokio::join!(make_one(trial.fault, cluster), second);
    first.and(second)
}

async fn make_one(fault: &'static Fault, cluster: &Cluster) -> Outcome<()> {
    match fault.made {
        Made::Here(inject) => inject(cluster).await,
        Made::Elsewhere(why) => Err(Unknown(why.to_owned())),
    }
}

/// Judges a run again that was recorded before.
pub(crate) fn judge(directory: &Path) -> Outcome<(Run, Verdict)> {
    let run: Run = serde_json::from_slice(&std::fs::read(directory.join("run.json"))?)?;
    let events: Vec<Event> = history::read(&directory.join("history"))?;
    let verdict = checker::check(&run, &events);
    report::write(directory, &run, &events, &verdict)?;
    Ok((run, verdict))
}
