//! What configurations are refused, with which message, and what the good ones mean.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes helpers of integration tests for other code"
)]

#[path = "../common/certificates.rs"]
mod certificates;

mod bad_files;
mod bad_settings;
mod good;
mod overrides;
mod redis;
mod schema;
mod secrets;

use pollux::config::{Config, Environment};
use tempfile::TempDir;

/// A file with all that is required, and no more.
const SMALLEST: &str = "\
cluster: c
endpoints:
  - name: a
    url: http://localhost/
    every: 1s
";

/// Loads `pollux.yaml` of a new directory. Errors are without the directory's name.
fn load_with(yaml: &[u8], environment: &Environment) -> Result<Config, String> {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("pollux.yaml"), yaml).unwrap();
    load_in(&directory, environment)
}

fn load_in(directory: &TempDir, environment: &Environment) -> Result<Config, String> {
    let prefix = format!("{}/", directory.path().display());
    Config::load(&directory.path().join("pollux.yaml"), environment)
        .map_err(|errors| errors.to_string().replace(&prefix, ""))
}

/// Loads a file without variables. What is good must fit the schema.
fn load(yaml: &str) -> Result<Config, String> {
    let config = load_with(yaml.as_bytes(), &Environment::default());
    if config.is_ok() {
        assert_eq!(schema::complaints(yaml).expect("YAML"), [""; 0], "{yaml}");
    }
    config
}

fn refusal(yaml: &str) -> String {
    load(yaml).expect_err(yaml)
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}
