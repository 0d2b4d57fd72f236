use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::environment::Environment;
use super::errors::{ConfigError, Position, Problems};
use super::secrets::{self, Expanded};
use super::values::{self, LONGEST};
use super::yaml::{Entry, Node, Value};

/// What durations are expected to be.
pub(super) const DURATION: &str = "a duration such as 250ms, 2s or 5m";

/// How similar a misspelt key must be to a known one for a hint: from 0, nothing in common, to 1.
const SIMILAR: f64 = 0.7;

/// How much of a wrong value is shown, in characters.
const SHOWN: usize = 40;

/// Takes typed values out of the tree, and notes what is wrong with them.
pub(super) struct Reader<'a> {
    environment: &'a Environment,
    directory: &'a Path,
    problems: Problems,
}

/// Where a setting is in the tree, such as `endpoints[1].every`.
#[derive(Clone, Copy)]
pub(super) enum Trail<'a> {
    Root,
    Key(&'a Trail<'a>, &'a str),
    Index(&'a Trail<'a>, usize),
}

/// A value of the tree with its place.
pub(super) struct Setting<'a> {
    pub(super) position: &'a Position,
    pub(super) trail: Trail<'a>,
    pub(super) node: &'a Node,
}

/// A mapping whose keys are known ones.
pub(super) struct Section<'a> {
    pub(super) position: &'a Position,
    pub(super) trail: &'a Trail<'a>,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    /// The setting under a key, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Setting<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(self.setting(entry))
    }

    /// All settings with their keys, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Setting<'a>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.setting(entry)))
    }

    fn setting(&self, entry: &'a Entry) -> Setting<'a> {
        Setting {
            position: &entry.position,
            trail: Trail::Key(self.trail, &entry.key),
            node: &entry.value,
        }
    }
}

impl<'a> Setting<'a> {
    /// The item of a list at this setting.
    pub(super) fn item(&'a self, index: usize, node: &'a Node) -> Setting<'a> {
        Setting { position: &node.position, trail: Trail::Index(&self.trail, index), node }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        environment: &'a Environment,
        directory: &'a Path,
        problems: Problems,
    ) -> Self {
        Self { environment, directory, problems }
    }

    pub(super) fn into_problems(self) -> Problems {
        self.problems
    }

    /// Notes that a setting is wrong, in a sentence that shows no secret.
    pub(super) fn refuse(&mut self, position: &Position, trail: Trail<'_>, message: String) {
        self.problems.push(ConfigError {
            position: position.clone(),
            setting: trail.to_string(),
            message,
        });
    }

    /// Notes that a setting is not what was expected.
    fn mismatch(&mut self, setting: &Setting<'_>, expected: &str, found: &str) {
        let message = format!("expected {expected}, found {found}");
        self.refuse(setting.position, setting.trail, message);
    }

    /// Notes that a setting is missing.
    pub(super) fn missing(&mut self, section: &Section<'_>, key: &str, expected: &str) {
        let message = format!("expected {expected}, found nothing");
        self.refuse(section.position, Trail::Key(section.trail, key), message);
    }

    /// The setting under a key that must be there.
    pub(super) fn required<'s>(
        &mut self,
        section: &Section<'s>,
        key: &str,
        expected: &str,
    ) -> Option<Setting<'s>> {
        let setting = section.get(key);
        if setting.is_none() {
            self.missing(section, key, expected);
        }
        setting
    }

    /// A mapping with keys of one's own choice.
    pub(super) fn mapping<'s>(
        &mut self,
        setting: &'s Setting<'s>,
        expected: &str,
    ) -> Option<Section<'s>> {
        let Value::Map(entries) = &setting.node.value else {
            self.mismatch(setting, expected, kind(setting.node));
            return None;
        };
        Some(Section { position: setting.position, trail: &setting.trail, entries })
    }

    /// A mapping with settings; those that are not known are errors.
    pub(super) fn section<'s>(
        &mut self,
        setting: &'s Setting<'s>,
        known: &[&str],
    ) -> Option<Section<'s>> {
        let section = self.mapping(setting, &format!("settings ({})", known.join(", ")))?;
        for (key, unknown) in section.iter().filter(|(key, _)| !known.contains(key)) {
            // A hint takes time, and beyond a hundred errors nobody sees it.
            let similar = if self.problems.is_full() { None } else { most_similar(key, known) };
            let hint = match similar {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("unknown setting; {hint}");
            self.refuse(unknown.position, unknown.trail, message);
        }
        self.refuse_repetitions(&section);
        Some(section)
    }

    fn refuse_repetitions(&mut self, section: &Section<'_>) {
        let mut seen = HashMap::with_capacity(section.entries.len());
        for (key, setting) in section.iter() {
            if let Some(Position::Line(line)) = seen.insert(key, setting.position) {
                let message = format!("given twice, first in line {line}");
                self.refuse(setting.position, setting.trail, message);
            }
        }
    }

    /// What ends the name of a replica that is given none.
    pub(super) fn suffix(&self) -> &str {
        self.environment.suffix()
    }

    /// The items of a list.
    pub(super) fn list<'s>(
        &mut self,
        setting: &'s Setting<'s>,
        expected: &str,
    ) -> Option<&'s [Rc<Node>]> {
        if let Value::List(items) = &setting.node.value {
            return Some(items);
        }
        self.mismatch(setting, expected, kind(setting.node));
        None
    }

    /// A text, its secrets filled in.
    pub(super) fn text(&mut self, setting: &Setting<'_>, expected: &str) -> Option<Expanded> {
        let Value::Text(text) = &setting.node.value else {
            self.mismatch(setting, expected, kind(setting.node));
            return None;
        };
        match secrets::expand(text, self.environment, self.directory) {
            Ok(expanded) => Some(expanded),
            Err(errors) => {
                for message in errors {
                    self.refuse(setting.position, setting.trail, message);
                }
                None
            }
        }
    }

    /// A file's name; relative ones start at the configuration's directory.
    pub(super) fn file(&mut self, setting: &Setting<'_>) -> Option<PathBuf> {
        let directory = self.directory;
        let join = |text: &str| (!text.is_empty()).then(|| directory.join(text));
        self.value(setting, "a file's path", join)
    }

    /// A text that `parse` makes something of.
    pub(super) fn value<T>(
        &mut self,
        setting: &Setting<'_>,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let expanded = self.text(setting, expected)?;
        let value = parse(&expanded.text);
        if value.is_none() {
            self.mismatch(setting, expected, &shown(&expanded));
        }
        value
    }

    /// A duration above zero.
    pub(super) fn duration(&mut self, setting: &Setting<'_>) -> Option<Duration> {
        let duration = self.bounded_duration(setting, values::duration)?;
        if duration.is_zero() {
            self.mismatch(setting, "a duration above zero", "0s");
            return None;
        }
        Some(duration)
    }

    /// A duration; `None` within for `0s` or `0`, which switches something off.
    pub(super) fn duration_or_off(&mut self, setting: &Setting<'_>) -> Option<Option<Duration>> {
        let parse =
            |text: &str| if text == "0" { Some(Duration::ZERO) } else { values::duration(text) };
        let duration = self.bounded_duration(setting, parse)?;
        Some(Some(duration).filter(|duration| !duration.is_zero()))
    }

    fn bounded_duration(
        &mut self,
        setting: &Setting<'_>,
        parse: impl FnOnce(&str) -> Option<Duration>,
    ) -> Option<Duration> {
        let duration = self.value(setting, DURATION, parse)?;
        if duration > LONGEST {
            self.mismatch(setting, "a duration of at most 8760h", "a longer one");
            return None;
        }
        Some(duration)
    }
}

/// What kind of value a node is. The value itself may be a secret in the wrong place.
fn kind(node: &Node) -> &'static str {
    match node.value {
        Value::Nothing => "nothing",
        Value::Text(_) => "text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

/// A wrong value as errors show it.
fn shown(expanded: &Expanded) -> String {
    let text = expanded.text.as_str();
    if expanded.secret {
        "a value with secrets, which is not shown".to_owned()
    } else if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        clip(text)
    } else {
        format!("\"{}\"", clip(text))
    }
}

/// The beginning of a text, in one line.
fn clip(text: &str) -> String {
    let mut clipped: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        clipped.push('…');
    }
    clipped
}

fn most_similar<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    // Longer keys resemble nothing, and comparing takes their length times that of the known ones.
    if key.len() > SHOWN {
        return None;
    }
    let key = key.to_lowercase();
    known
        .iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&key, known), *known))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

impl fmt::Display for Trail<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Trail::Root, key) => formatter.write_str(&clip(key)),
            Self::Key(parent, key) => write!(formatter, "{parent}.{}", clip(key)),
            Self::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}
