use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Process;
use super::{eventually, http};

/// A `pollux run` with a configuration of its own.
pub struct Replica {
    pub name: String,
    /// `127.0.0.1:<port>` of the gateway.
    pub gateway: String,
    /// `127.0.0.1:<port>` of the admin server.
    pub admin: String,
    pub process: Process,
    log: PathBuf,
    directory: TempDir,
}

impl Replica {
    /// Starts a replica. The configuration needs neither name nor addresses: they are set here,
    /// the ports to free ones.
    pub async fn start(name: &str, configuration: &str) -> Self {
        Self::start_with(name, configuration, |_| {}).await
    }

    /// The same, with more arguments or variables, which win over those set here.
    pub async fn start_with(
        name: &str,
        configuration: &str,
        add: impl FnOnce(&mut Command),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, log) = (directory.path().join("pollux.yaml"), directory.path().join("log"));
        fs::write(&file, configuration).expect("a configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_pollux"));
        command
            .args(["run", "--config"])
            .arg(&file)
            .env("POLLUX__REPLICA", name)
            .env("POLLUX__GATEWAY__LISTEN", "127.0.0.1:0")
            .env("POLLUX__ADMIN__LISTEN", "127.0.0.1:0");
        add(&mut command);
        let mut process = Process::start(&mut command, &log);
        let started = eventually(Duration::from_secs(20), "a replica starts", || {
            let (line, running) = (find(&log, "pollux starts"), process.is_running());
            async move { (line.is_some() || !running).then_some(line) }
        })
        .await;
        let output = fs::read_to_string(&log).unwrap_or_default();
        let started = started.unwrap_or_else(|| panic!("{name} ended at its start: {output}"));
        let address = |field: &str| started[field].as_str().unwrap_or_default().to_owned();
        Self {
            name: name.to_owned(),
            gateway: address("gateway"),
            admin: address("admin"),
            process,
            log,
            directory,
        }
    }

    /// Puts another configuration in place of its file, in one step.
    pub fn reconfigure(&self, configuration: &str) {
        let (new, file) =
            (self.directory.path().join("new"), self.directory.path().join("pollux.yaml"));
        fs::write(&new, configuration).expect("a configuration");
        fs::rename(new, file).expect("a configuration in place");
    }

    /// The directory of its configuration file.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until it has taken a configuration on.
    pub async fn reloaded(&self, result: &str, times: u32) {
        let label = format!("result=\"{result}\"");
        eventually(Duration::from_secs(30), "a configuration is read again", || async {
            let count = self.metric("pollux_config_reloads_total", &label).await;
            (count >= f64::from(times)).then_some(())
        })
        .await;
    }

    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// The first log event with this message.
    pub fn logged(&self, message: &str) -> Option<Value> {
        find(&self.log, message)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The JSON at a path of the admin server; `None` while it does not answer.
    pub async fn admin_json(&self, path: &str) -> Option<Value> {
        let response = http().get(format!("http://{}{path}", self.admin)).send().await.ok()?;
        serde_json::from_slice(&response.bytes().await.ok()?).ok()
    }

    /// The status of a path of the admin server; `None` while it does not answer.
    pub async fn admin_status(&self, path: &str) -> Option<u16> {
        let response = http().get(format!("http://{}{path}", self.admin)).send().await.ok()?;
        Some(response.status().as_u16())
    }

    /// The sum of a metric over all label sets that contain `labels`.
    pub async fn metric(&self, name: &str, labels: &str) -> f64 {
        let text = async {
            http().get(format!("http://{}/metrics", self.admin)).send().await?.text().await
        };
        let text = text.await.unwrap_or_default();
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(labels)
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    }
}

fn find(log: &PathBuf, message: &str) -> Option<Value> {
    let text = fs::read_to_string(log).ok()?;
    let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.find(|event| event["message"] == message)
}

/// Waits until one of `replicas` leads, and tells which.
pub async fn leader(replicas: &[Replica], within: Duration) -> usize {
    eventually(within, "a replica leads", || async {
        for (index, replica) in replicas.iter().enumerate() {
            if replica.metric("pollux_is_leader", "").await == 1.0 {
                return Some(index);
            }
        }
        None
    })
    .await
}
