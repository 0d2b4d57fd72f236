use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use uuid::Uuid;

/// Environment variables: those of the process, or a test's.
///
/// It has no `Debug`, since variables often hold secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// What tells a replica without a name from others on its host, however often its configuration is
    /// read.
    suffix: Suffix,
}

/// Eight random hex digits.
#[derive(Clone)]
struct Suffix(String);

impl Default for Suffix {
    fn default() -> Self {
        let mut text = Uuid::new_v4().simple().to_string();
        text.truncate(8);
        Self(text)
    }
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// What ends the name of a replica that is given none.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix.0
    }

    /// All variables, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            suffix: Suffix::default(),
        }
    }
}
