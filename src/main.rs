//! The command line of Pollux.
//!
//! Exit status: 0 done; 1 failed while running; 2 wrong usage; 78 bad configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use pollux::app::Role;
use pollux::command::{self, Failure};
use pollux::config::{Config, Environment, Secret};
use url::Url;

/// Polls HTTP endpoints once, for everybody, through replicas that outlive their leader.
#[derive(Parser)]
#[command(name = "pollux", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a replica: compete for the lease, poll while holding it, and serve clients
    Run {
        #[command(flatten)]
        config: ConfigFile,
        /// What this replica does: poller, gateway or all
        #[arg(long, value_name = "ROLE", default_value_t)]
        role: Role,
    },
    /// Watch it work: a sample backend, three replicas and a gateway in one process, with a page
    Demo {
        /// The port of the page, on this machine alone; 0 takes any free one
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// Serve the sample backend alone, at this address such as 0.0.0.0:9000, for replicas that
        /// run elsewhere to poll: /prices, /departures, /weather and /status
        #[arg(long, value_name = "ADDRESS", conflicts_with = "port")]
        backend: Option<SocketAddr>,
    },
    /// Read and check a configuration; print what would run and what it would cost
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ask Redis whether it offers what a replica needs; print what it lacks
    Preflight {
        #[command(flatten)]
        config: ConfigFile,
        /// What the replica does: poller, gateway or all
        #[arg(long, value_name = "ROLE", default_value_t)]
        role: Role,
    },
    /// Show leader, term, replicas, and endpoints with their age
    Status {
        #[command(flatten)]
        replica: AdminAddress,
        /// Print JSON, as GET /v1/cluster of the admin server answers
        #[arg(long)]
        json: bool,
    },
    /// Ask the leader to hand over to another replica, and wait until it has
    StepDown {
        #[command(flatten)]
        replica: AdminAddress,
    },
}

/// Any replica's: each one knows the cluster.
#[derive(Args)]
struct AdminAddress {
    /// Take the admin address, and its token, from this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// The admin address of a replica; its token, where it wants one, in POLLUX__ADMIN__TOKEN
    #[arg(long, value_name = "ADMIN", default_value = "http://127.0.0.1:9090", value_parser = admin_url)]
    url: Url,
}

impl AdminAddress {
    fn resolve(self) -> Result<(Url, Option<Secret>), Failure> {
        let Some(path) = self.config else {
            let token = std::env::var("POLLUX__ADMIN__TOKEN").ok();
            return Ok((self.url, token.map(Secret::new)));
        };
        let config = ConfigFile { path }.load()?;
        Ok((command::admin::admin_url(&config)?, config.admin.token))
    }
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE")]
    path: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.path, &Environment::of_process())?)
    }
}

/// Reads an admin address, with or without its scheme.
fn admin_url(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&with_scheme) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err("expected an address such as http://127.0.0.1:9090".to_owned()),
    }
}

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
        Command::Run { config, role } => command::run::run(config.load()?, role),
        Command::Demo { port, backend } => match backend {
            Some(address) => command::demo::serve_backend(address),
            None => command::demo::run(port),
        },
        Command::Check { config } => command::print(&command::check::report(&config.load()?)),
        Command::Preflight { config, role } => {
            command::print(&command::preflight::report(&config.load()?, role)?)
        }
        Command::Status { replica, json } => {
            let (url, _) = replica.resolve()?;
            command::print(&command::status::fetch(&url, json)?)
        }
        Command::StepDown { replica } => {
            let (url, token) = replica.resolve()?;
            command::print(&command::step_down::hand_over(&url, token.as_ref())?)
        }
    }
}
