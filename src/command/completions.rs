//! `pollux completions`: what completes the command line in a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Failure;
use super::arguments::Cli;

/// The script for a shell.
///
/// # Errors
/// When it is no text, which it always is.
pub fn script(shell: Shell) -> Result<String, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "pollux", &mut script);
    String::from_utf8(script).map_err(|error| Failure::Other(error.to_string()))
}
