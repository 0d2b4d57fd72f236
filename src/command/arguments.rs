//! The command line's arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use url::Url;

use super::{Failure, admin};
use crate::app::Role;
use crate::config::{self, Config, ConfigSource, Environment, Secret};

/// Polls HTTP endpoints once, for everybody, through replicas that outlive their leader.
#[derive(Parser)]
#[command(name = "pollux", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Run a replica: compete for the lease, poll while holding it, and serve clients
    Run {
        /// Its configuration.
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
        /// The configuration.
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Ask Redis whether it offers what a replica needs; print what it lacks
    Preflight {
        /// The replica's configuration.
        #[command(flatten)]
        config: ConfigFile,
        /// What the replica does: poller, gateway or all
        #[arg(long, value_name = "ROLE", default_value_t)]
        role: Role,
    },
    /// Print the JSON Schema of configuration files, for editors and Helm
    Schema,
    /// Show leader, term, replicas, and endpoints with their age
    Status {
        /// The replica to ask.
        #[command(flatten)]
        replica: AdminAddress,
        /// Print JSON, as GET /v1/cluster of the admin server answers
        #[arg(long)]
        json: bool,
        /// Go on: redraw a terminal live until q or Ctrl-C, print a report at each change elsewhere, or JSON every
        /// second with --json
        #[arg(long)]
        watch: bool,
    },
    /// Ask the leader to hand over to another replica, and wait until it has
    StepDown {
        /// The replica to ask, whether it leads or not.
        #[command(flatten)]
        replica: AdminAddress,
        /// Succeed only if another replica leads and the data go on: nothing went back, and what
        /// was fresh is polled again
        #[arg(long)]
        verify: bool,
        /// How long all of that may take, such as 30s; needs --verify
        #[arg(long, value_name = "DURATION", default_value = "30s", requires = "verify", value_parser = timeout)]
        timeout: Duration,
    },
    /// Follow publications: when, what, how large, and what changed
    Tail {
        /// The endpoints to follow; all of them where none is named
        #[arg(value_name = "ENDPOINT")]
        endpoints: Vec<String>,
        /// The address of a gateway
        #[arg(long, value_name = "GATEWAY", default_value = "http://127.0.0.1:8080", value_parser = http_url)]
        url: Url,
        /// Print each publication as it is, in one line
        #[arg(long)]
        json: bool,
    },
    /// Exit with 0 if a replica works, else with 1: a probe for where there is no shell
    Health {
        /// The replica to ask.
        #[command(flatten)]
        replica: AdminAddress,
        /// Ask whether it is ready, in place of whether it works
        #[arg(long)]
        ready: bool,
    },
    /// Print what completes this command line in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Any replica's: each one knows the cluster.
#[derive(Args)]
pub struct AdminAddress {
    /// Take the admin address, and its token, from this configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// The admin address of a replica; its token, where it wants one, in POLLUX__ADMIN__TOKEN
    #[arg(long, value_name = "ADMIN", default_value = "http://127.0.0.1:9090", value_parser = http_url)]
    url: Url,
}

impl AdminAddress {
    /// The address, and the token where there is one.
    ///
    /// # Errors
    /// When the configuration that names them is refused.
    pub fn resolve(self) -> Result<(Url, Option<Secret>), Failure> {
        let Some(path) = self.config else {
            let token = std::env::var("POLLUX__ADMIN__TOKEN").ok();
            return Ok((self.url, token.map(Secret::new)));
        };
        let config = ConfigFile { path }.load()?;
        Ok((admin::admin_url(config.admin.listen)?, config.admin.token))
    }

    /// The address. Where the configuration is refused it is what that says of it, or else the
    /// default; then a sentence tells so.
    ///
    /// # Errors
    /// When the address cannot be written as a URL, which no listening address is.
    pub fn presumed(self) -> Result<(Url, Option<String>), Failure> {
        let (path, default) = (self.config.clone(), self.url.clone());
        match (self.resolve(), path) {
            (Err(Failure::Config(_)), Some(path)) => {
                let listen = Config::admin_listen(&path, &Environment::of_process());
                let url = listen.map_or(Ok(default), admin::admin_url)?;
                let note =
                    format!("{} is refused (see pollux check): asking {url}", path.display());
                Ok((url, Some(note)))
            }
            (resolved, _) => Ok((resolved?.0, None)),
        }
    }
}

/// A configuration.
#[derive(Args)]
pub struct ConfigFile {
    /// The configuration file
    #[arg(long = "config", value_name = "FILE")]
    path: PathBuf,
}

impl ConfigFile {
    /// Where it is read from, again and again.
    pub fn source(self) -> ConfigSource {
        ConfigSource::new(self.path, Environment::of_process())
    }

    /// Reads and checks it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.path, &Environment::of_process())?)
    }
}

/// Reads a duration to wait for.
fn timeout(text: &str) -> Result<Duration, String> {
    let duration = config::duration(text).filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| "expected a duration such as 250ms, 30s or 5m".to_owned())
}

/// Reads an address, with or without its scheme.
fn http_url(text: &str) -> Result<Url, String> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&with_scheme) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err("expected an address such as http://127.0.0.1:9090".to_owned()),
    }
}
