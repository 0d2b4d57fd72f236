use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The place of a publication in the order of its cluster, written `<term>-<sequence>`.
///
/// Terms only grow, and within a term the sequence grows by one with each publication, so
/// comparing versions compares age whoever published. The text form is also a valid Redis stream
/// id, which keeps the history in the same order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The leadership that published.
    pub term: u64,
    /// The publication's number within that leadership; the first is 1.
    pub sequence: u64,
}

impl Version {
    /// Comes before every publication: what a reader has that has nothing.
    pub const NONE: Self = Self { term: 0, sequence: 0 };

    /// The version `sequence` of `term`.
    pub const fn new(term: u64, sequence: u64) -> Self {
        Self { term, sequence }
    }

    /// Whether `self` is what the same leadership publishes right after `previous`.
    pub fn follows(self, previous: Self) -> bool {
        self.term == previous.term && previous.sequence.checked_add(1) == Some(self.sequence)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.term, self.sequence)
    }
}

/// A text that is not of the form `<term>-<sequence>` in plain decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version: expected <term>-<sequence>, such as 1795209600123-42")]
pub struct InvalidVersion;

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten().ok_or(InvalidVersion)
        };
        let (term, sequence) = text.split_once('-').ok_or(InvalidVersion)?;
        Ok(Self { term: number(term)?, sequence: number(sequence)? })
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_by_term_then_by_sequence_as_numbers() {
        let versions = ["9-2", "9-10", "10-1"].map(|text| text.parse::<Version>().unwrap());
        assert!(versions.is_sorted());
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        for text in ["", "-", "1", "1-", "-1", "+1-1", "1-1-1", "1-99999999999999999999", "a-1"] {
            assert_eq!(text.parse::<Version>(), Err(InvalidVersion), "{text}");
        }
    }

    #[test]
    fn only_the_next_of_the_same_term_follows() {
        assert!(Version::new(7, 3).follows(Version::new(7, 2)));
        assert!(!Version::new(7, 4).follows(Version::new(7, 2)));
        assert!(!Version::new(8, 3).follows(Version::new(7, 2)));
        assert!(!Version::new(7, 0).follows(Version::new(7, u64::MAX)));
    }
}
