//! `pollux run`: one replica.

use super::{Failure, runtime, shutdown_on_signal};
use crate::app::{App, Role};
use crate::config::ConfigSource;
use crate::reload::Reloads;
use crate::telemetry;

/// Runs a replica until SIGTERM or SIGINT, with what the configuration holds by then.
///
/// # Errors
/// When the configuration is bad at the start, or an address cannot be listened on. A store that does not answer is waited for.
pub fn run(source: ConfigSource, role: Role) -> Result<(), Failure> {
    let seen = source.fingerprint();
    let config = source.load()?;
    telemetry::install_log();
    let recorder = telemetry::install_metrics()
        .map_err(|error| Failure::Other(format!("cannot collect metrics: {error}")))?;
    runtime()?.block_on(async {
        let shutdown = shutdown_on_signal()?;
        let reloads = Reloads::new(source, seen)
            .map_err(|error| Failure::Other(format!("cannot wait for SIGHUP: {error}")))?;
        let app = App::new(config, role).await?.recording(recorder).reloading(reloads);
        Ok(app.run(shutdown).await?)
    })
}
