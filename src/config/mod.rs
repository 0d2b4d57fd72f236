//! The configuration: read whole, checked once, and then a type of its own.
//!
//! A file becomes a tree of raw values that know their lines (`yaml`); variables override some
//! of them (`overrides`); one walk over the tree makes the checked types (`settings`,
//! `endpoints`), filling in secrets (`secrets`) and collecting every error on the way. `schema`
//! says in advance, to editors and Helm, what that walk takes.

mod endpoints;
mod environment;
mod errors;
mod file;
mod headers;
mod overrides;
mod reader;
mod redis;
mod schema;
mod secrets;
mod settings;
mod source;
mod tls;
mod traces;
mod types;
mod values;
mod yaml;

use std::net::SocketAddr;
use std::path::Path;

pub use environment::Environment;
pub use errors::ConfigErrors;
pub use schema::schema;
pub use source::{ConfigSource, Fingerprint};
pub use tls::{TlsConfig, TlsFileError, TlsFiles, TlsIdentity};
pub use traces::TracesConfig;
pub use types::{
    AdminConfig, Config, EndpointConfig, Expectation, GatewayConfig, LeaseConfig, RedisConfig,
    RedisPlace, Secret, ServerAddress,
};
pub use values::{duration, format_duration};

use errors::{ConfigError, Position, Problems};
use reader::Reader;
use yaml::{Node, Value};

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// Variables of `environment` that begin with `POLLUX__` override settings of the file, and
    /// its other variables stand behind `${env:NAME}`. Relative paths in `${file:PATH}` start at
    /// the file's directory.
    ///
    /// # Errors
    /// All errors at once, in the order of their lines. A file that is no YAML has just one.
    pub fn load(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let refused = |error: ConfigError| ConfigErrors::new(path, Problems::from(error));
        let text = file::read(path).map_err(refused)?;
        let mut tree = yaml::parse(&text).map_err(refused)?;

        let mut problems = Problems::default();
        overrides::apply(environment, &mut tree, &mut problems);
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut reader = Reader::new(environment, directory, problems);
        let config = settings::read(&tree, &mut reader);
        match (config, reader.into_problems()) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(ConfigErrors::new(path, problems)),
        }
    }

    /// What a file and variables say of `admin.listen`, even if they are refused as a whole; `None`
    /// where they do not say it.
    pub fn admin_listen(path: &Path, environment: &Environment) -> Option<SocketAddr> {
        let tree = file::read(path).and_then(|text| yaml::parse(&text));
        let mut tree = tree.unwrap_or_else(|_| Node::new(Position::File, Value::Nothing));
        overrides::apply(environment, &mut tree, &mut Problems::default());
        match &tree.child("admin")?.child("listen")?.value {
            Value::Text(listen) => listen.parse().ok(),
            _ => None,
        }
    }
}
