//! `pollux run`: one replica.

use super::{Failure, runtime, shutdown_on_signal};
use crate::app::{App, Role};
use crate::config::ConfigSource;
use crate::reload::Reloads;
use crate::telemetry::{self, Traces};

/// Runs a replica until SIGTERM or SIGINT, with what the configuration holds by then.
///
/// # Errors
/// When the configuration is bad at the start, or an address cannot be listened on. A store that does
/// not answer is waited for.
pub fn run(source: ConfigSource, role: Role) -> Result<(), Failure> {
    let seen = source.fingerprint();
    let config = source.load()?;
    telemetry::install_log();
    let recorder = telemetry::install_metrics()
        .map_err(|error| Failure::Other(format!("cannot collect metrics: {error}")))?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let shutdown = shutdown_on_signal()?;
        let reloads = Reloads::new(source, seen)
            .map_err(|error| Failure::Other(format!("cannot wait for SIGHUP: {error}")))?;
        let traces = Traces::start(&config).map_err(|error| Failure::Other(error.to_string()))?;
        let app = App::new(config, role).await?;
        let app = app.recording(recorder).tracing(traces.clone()).reloading(reloads);
        let ended = app.run(shutdown).await;
        traces.shutdown().await;
        Ok(ended?)
    });
    // A name that the system is still resolving would hold up the end for as long as it takes.
    runtime.shutdown_background();
    ended
}
