use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::environment::Environment;
use super::file::read_bounded;
use super::secrets;
use super::{Config, ConfigErrors, file, overrides};

/// Where a configuration is read from, again and again.
#[derive(Clone)]
pub struct ConfigSource {
    path: PathBuf,
    environment: Environment,
}

/// What the files of a [`ConfigSource`] hold; equal where they hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u128);

impl ConfigSource {
    /// The file at `path`, with the variables of `environment`.
    pub fn new(path: PathBuf, environment: Environment) -> Self {
        Self { path, environment }
    }

    /// Reads and checks the configuration: see [`Config::load`].
    ///
    /// # Errors
    /// All errors at once.
    pub fn load(&self) -> Result<Config, ConfigErrors> {
        Config::load(&self.path, &self.environment)
    }

    /// What the file holds at the moment, and all files of secrets that it names.
    ///
    /// A file that cannot be read counts as such, so that its appearance is a change.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Xxh3::new();
        let mut add = |content: Result<&[u8], &str>| match content {
            Ok(bytes) => {
                hash.update(&(bytes.len() as u64).to_le_bytes());
                hash.update(bytes);
            }
            Err(error) => {
                hash.update(&u64::MAX.to_le_bytes());
                hash.update(error.as_bytes());
            }
        };
        let content = read_bounded(&self.path, file::LARGEST);
        add(content.as_deref().map_err(String::as_str));
        let text = content.unwrap_or_default();
        for path in self.secret_files(&String::from_utf8_lossy(&text)) {
            let secret = read_bounded(&path, secrets::LARGEST);
            add(secret.as_deref().map_err(String::as_str));
        }
        Fingerprint(hash.digest128())
    }

    /// The files named by `${file:PATH}`, in the text or in variables that override it. Those in
    /// comments are among them, which does no harm.
    fn secret_files(&self, text: &str) -> BTreeSet<PathBuf> {
        let directory = self.path.parent().unwrap_or(Path::new(""));
        let variables = self.environment.iter().filter_map(|(name, value)| {
            name.to_str()?.starts_with(overrides::PREFIX).then(|| value.to_str())?
        });
        let texts = std::iter::once(text).chain(variables);
        let named = texts.flat_map(|text| text.split("${file:").skip(1));
        let path = |rest: &str| Some(directory.join(rest.split_once('}')?.0));
        named.filter_map(path).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A configuration with a secret from a file, and another from a variable that overrides it.
    fn source(directory: &Path) -> ConfigSource {
        fs::write(directory.join("pollux.yaml"), "admin:\n  token: ${file:token}\n").unwrap();
        let environment =
            [("POLLUX__REDIS__PASSWORD", "${file:password}"), ("OTHER", "${file:other}")];
        ConfigSource::new(directory.join("pollux.yaml"), environment.into_iter().collect())
    }

    #[test]
    fn every_file_that_the_configuration_stems_from_makes_a_difference() {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path());
        let mut known = vec![source.fingerprint()];
        for (file, content) in [
            ("token", "one"),
            ("token", "two"),
            ("password", "three"),
            ("pollux.yaml", "cluster: a\n"),
        ] {
            fs::write(directory.path().join(file), content).unwrap();
            let now = source.fingerprint();
            assert!(!known.contains(&now), "{file}: {content}");
            known.push(now);
        }
    }

    #[test]
    fn no_other_file_does() {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path());
        let before = source.fingerprint();
        fs::write(directory.path().join("other"), "one").unwrap();
        assert_eq!(source.fingerprint(), before);
    }

    #[test]
    fn a_secret_that_moves_from_one_file_to_the_next_makes_a_difference() {
        let directory = tempfile::tempdir().unwrap();
        let source = source(directory.path());
        let write = |file: &str, content: &str| fs::write(directory.path().join(file), content);
        write("password", "ab").unwrap();
        write("token", "c").unwrap();
        let before = source.fingerprint();
        write("password", "a").unwrap();
        write("token", "bc").unwrap();
        assert_ne!(source.fingerprint(), before);
    }
}
