//! What the command line does, a module for each command.

pub mod admin;
pub mod arguments;
pub mod check;
pub mod completions;
pub mod demo;
mod events;
pub mod health;
pub mod preflight;
pub mod run;
pub mod schema;
pub mod status;
pub mod step_down;
mod table;
pub mod tail;
mod terminal;
mod text;
pub mod verify;
pub mod watch;

use std::io::{self, Write as _};

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::AppError;
use crate::config::ConfigErrors;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration is refused.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// A replica could not run.
    #[error("error: {0}")]
    App(#[from] AppError),
    /// Something else went wrong, as said.
    #[error("error: {0}")]
    Other(String),
}

impl Failure {
    /// The process's exit status: 78 (`EX_CONFIG` of sysexits.h) for a bad configuration.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Config(_) => 78,
            Self::App(_) | Self::Other(_) => 1,
        }
    }
}

/// Prints a command's result. A reader that has seen enough, such as `head`, is no failure.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().enable_all().build();
    runtime.map_err(|error| Failure::Other(format!("cannot start the runtime: {error}")))
}

/// Cancels a token on SIGTERM or SIGINT; the second one ends the process at once.
fn shutdown_on_signal() -> Result<CancellationToken, Failure> {
    let refused = |error: io::Error| Failure::Other(format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(refused)?;
    let shutdown = CancellationToken::new();
    let cancelled = shutdown.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if cancelled.is_cancelled() {
                std::process::exit(1);
            }
            cancelled.cancel();
        }
    });
    Ok(shutdown)
}
