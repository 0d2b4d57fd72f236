use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many errors are shown; more help nobody.
const SHOWN: usize = 100;

/// Everything that is wrong with a configuration, one error per line:
///
/// ```text
/// pollux.yaml:7: endpoints[1].every: expected a duration such as 250ms, 2s or 5m, found 0
/// POLLUX__DRAIN: drain: expected a duration such as 250ms, 2s or 5m, found soon
/// ```
///
/// At most 100 are shown, and how many more there are. Secrets never are.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    file: PathBuf,
    problems: Problems,
}

impl ConfigErrors {
    pub(super) fn new(file: &Path, mut problems: Problems) -> Self {
        problems.first.sort_by(|a, b| a.position.cmp(&b.position));
        Self { file: file.to_owned(), problems }
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        for (index, error) in self.problems.first.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            match &error.position {
                Position::File => write!(formatter, "{file}: ")?,
                Position::Line(line) => write!(formatter, "{file}:{line}: ")?,
                Position::Variable(name) => write!(formatter, "{name}: ")?,
            }
            if !error.setting.is_empty() {
                write!(formatter, "{}: ", error.setting)?;
            }
            formatter.write_str(&error.message)?;
        }
        match self.problems.more {
            0 => Ok(()),
            more => write!(formatter, "\nand {more} more"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(super) struct ConfigError {
    pub(super) position: Position,
    /// The path of the setting, such as `endpoints[1].every`; empty for the whole file.
    pub(super) setting: String,
    /// What was expected, and what was found.
    pub(super) message: String,
}

impl ConfigError {
    /// An error of the whole file.
    pub(super) fn of_file(position: Position, message: impl Into<String>) -> Self {
        Self { position, setting: String::new(), message: message.into() }
    }
}

/// Where a setting stands. The order is that in which errors are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Position {
    /// The file as a whole.
    File,
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(Arc<str>),
}

/// The errors found so far; beyond a hundred they are only counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Problems {
    first: Vec<ConfigError>,
    more: usize,
}

impl Problems {
    pub(super) fn push(&mut self, error: ConfigError) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.first.push(error);
        }
    }

    /// Whether further errors are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.first.len() >= SHOWN
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

impl From<ConfigError> for Problems {
    fn from(error: ConfigError) -> Self {
        Self { first: vec![error], more: 0 }
    }
}
