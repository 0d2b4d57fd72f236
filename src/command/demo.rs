//! `pollux demo`: everything in one process, with a page to watch.

use std::net::SocketAddr;

use super::{Failure, print, runtime, shutdown_on_signal};
use crate::demo::{Demo, DemoError, SampleBackend};
use crate::telemetry;

/// Only what went wrong, so that the address stands out.
const LOGGED: &str = "warn";

/// Runs the demo on a port of this machine, 0 for any free one, until SIGTERM or SIGINT.
///
/// # Errors
/// When the port cannot be listened on.
pub fn run(port: u16) -> Result<(), Failure> {
    telemetry::install_log_of(LOGGED);
    runtime()?.block_on(async {
        let shutdown = shutdown_on_signal()?;
        let demo = Demo::open(port, shutdown).await.map_err(failed)?;
        print(&welcome(&format!("http://{}", demo.address())))?;
        demo.run().await.map_err(failed)
    })
}

/// Serves the sample backend alone, port 0 for any free one, until SIGTERM or SIGINT.
///
/// # Errors
/// When the address cannot be listened on.
pub fn serve_backend(address: SocketAddr) -> Result<(), Failure> {
    telemetry::install_log_of(LOGGED);
    runtime()?.block_on(async {
        let shutdown = shutdown_on_signal()?;
        let backend = SampleBackend::open(address).await.map_err(failed)?;
        print(&paths(&backend))?;
        backend.run(shutdown).await;
        Ok(())
    })
}

fn failed(error: DemoError) -> Failure {
    Failure::Other(error.to_string())
}

/// A URL in each line.
fn paths(backend: &SampleBackend) -> String {
    let url = |name| format!("http://{}/{name}\n", backend.address());
    SampleBackend::NAMES.into_iter().map(url).collect()
}

fn welcome(address: &str) -> String {
    format!(
        "\n  Pollux demo\n\n  Open  {address}\n\n  \
         A sample backend, three replicas and a gateway run in this process.\n  \
         Crash the leader on the page, and watch another replica take over.\n  \
         Ctrl-C ends it.\n\n"
    )
}
