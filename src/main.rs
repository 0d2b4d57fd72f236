//! The command line of Pollux.
//!
//! Exit status: 0 done; 1 failed while running; 2 wrong usage; 78 bad configuration.

use std::process::ExitCode;

use clap::Parser as _;
use pollux::command::arguments::{Cli, Command};
use pollux::command::{self, Failure};

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_status())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run { config, role } => command::run::run(config.source(), role),
        Command::Demo { port, backend } => match backend {
            Some(address) => command::demo::serve_backend(address),
            None => command::demo::run(port),
        },
        Command::Check { config } => command::print(&command::check::report(&config.load()?)),
        Command::Preflight { config, role } => {
            command::print(&command::preflight::report(&config.load()?, role)?)
        }
        Command::Schema => command::print(&command::schema::text()),
        Command::Status { replica, json, watch: true } => {
            let (url, _) = replica.resolve()?;
            command::watch::follow(&url, json)
        }
        Command::Status { replica, json, .. } => {
            let (url, _) = replica.resolve()?;
            command::print(&command::status::fetch(&url, json)?)
        }
        Command::StepDown { replica, verify: true, timeout } => {
            let (url, token) = replica.resolve()?;
            command::verify::hand_over(&url, token.as_ref(), timeout)
        }
        Command::StepDown { replica, .. } => {
            let (url, token) = replica.resolve()?;
            command::print(&command::step_down::hand_over(&url, token.as_ref())?)
        }
        Command::Tail { endpoints, url, json } => command::tail::follow(&url, endpoints, json),
        Command::Health { replica, ready } => command::health::ask(replica, ready),
        Command::Completions { shell } => command::print(&command::completions::script(shell)?),
    }
}
