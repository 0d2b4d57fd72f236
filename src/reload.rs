//! Follows the configuration of a replica that runs: its file, and the files of its secrets.
//!
//! The files are read again every two seconds and compared with what was read before. That sees every
//! way of changing a file, the swapped symbolic links of a Kubernetes volume too, and costs less than
//! the care that notifications of the system need. SIGHUP has them read at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use crate::config::{Config, ConfigSource, Fingerprint};
use crate::http::BindError;
use crate::poller::FetcherError;
use crate::telemetry::TracesError;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For how long they must stay as they are: an editor may be at it, or a second file of the same change
/// be on its way.
const SETTLED: Duration = Duration::from_millis(250);

/// Why a configuration that is good by itself cannot take the place of the present one.
#[derive(Debug, thiserror::Error)]
pub enum NotApplied {
    /// Another cluster has other data, and other replicas.
    #[error("cluster: a running replica stays in its cluster: restart it to move it to another")]
    Cluster,
    /// The replica itself listens on that port, and would have to stop before it could try.
    #[error(
        "{setting}: this replica listens on port {port} already, as it was configured before: \
         restart it to take the port for another address"
    )]
    OwnPort {
        /// The setting that names the port.
        setting: &'static str,
        /// The port.
        port: u16,
    },
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Polling cannot be set up.
    #[error(transparent)]
    Fetcher(#[from] FetcherError),
    /// Traces cannot be sent.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

/// Whether the configuration in place was refused, and the one before is run on with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Arc<AtomicBool>);

impl Refused {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, refused: bool) {
        self.0.store(refused, Ordering::Relaxed);
        gauge!("pollux_config_refused").set(u8::from(refused));
    }
}

/// Brings the configurations that take the place of the one before.
pub struct Reloads {
    source: ConfigSource,
    /// What was read last, whether it was good or not.
    seen: Fingerprint,
    hangup: Signal,
    refused: Refused,
}

impl Reloads {
    /// Follows the files of `source`, from which a configuration was read when they were as `seen`.
    ///
    /// # Errors
    /// When the system lets nobody wait for SIGHUP.
    pub fn new(source: ConfigSource, seen: Fingerprint) -> io::Result<Self> {
        let refused = Refused::default();
        refused.set(false);
        Ok(Self { source, seen, hangup: signal(SignalKind::hangup())?, refused })
    }

    /// Tells, now and later, whether the configuration in place was refused.
    pub(crate) fn refused(&self) -> Refused {
        self.refused.clone()
    }

    /// The next configuration that is good. Those that are not are logged and counted.
    pub(crate) async fn next(&mut self) -> Config {
        loop {
            self.until_changed().await;
            match self.source.load() {
                Ok(config) => return config,
                Err(errors) => self.refuse(&errors),
            }
        }
    }

    /// Waits until the files differ from what was read last, or somebody wants them read.
    async fn until_changed(&mut self) {
        loop {
            let asked = select! {
                _ = self.hangup.recv() => true,
                () = sleep(LOOK_EVERY) => false,
            };
            let mut now = self.source.fingerprint();
            if now == self.seen && !asked {
                continue;
            }
            loop {
                sleep(SETTLED).await;
                let later = self.source.fingerprint();
                if later == now {
                    break;
                }
                now = later;
            }
            self.seen = now;
            return;
        }
    }

    /// Logs and counts what became of a configuration: which settings differed, or why it was not
    /// applied.
    pub(crate) fn settle(&self, outcome: Result<Vec<&'static str>, NotApplied>) {
        match outcome {
            Ok(changed) if changed.is_empty() => {
                tracing::info!("configuration read again: it is the same");
                count("unchanged");
            }
            Ok(changed) => {
                tracing::info!(changed = changed.join(", "), "configuration reloaded");
                count("applied");
            }
            Err(error) => return self.refuse(&error),
        }
        self.refused.set(false);
    }

    fn refuse(&self, why: &dyn std::fmt::Display) {
        tracing::error!(error = %why, "configuration refused: the one before stays in force");
        count("refused");
        self.refused.set(true);
    }
}

fn count(result: &'static str) {
    counter!("pollux_config_reloads_total", "result" => result).increment(1);
}
