use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// A name outside its pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected}")]
pub struct InvalidName {
    expected: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, first: $first:expr, rest: $rest:expr, expected: $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            #[doc = concat!("Checks a name: expected is ", $expected, ".")]
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                let first: fn(u8) -> bool = $first;
                let rest: fn(u8) -> bool = $rest;
                let mut bytes = text.bytes();
                let fits = bytes.next().is_some_and(first) && bytes.all(rest) && text.len() <= LONGEST;
                if fits { Ok(Self(text.into())) } else { Err(InvalidName { expected: $expected }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The name that the replicas and gateways of one cluster share: `[a-z0-9][a-z0-9._-]{0,63}`.
    ClusterName,
    first: |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit(),
    rest: |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte),
    expected: "a name of 1 to 64 characters: a-z 0-9 . _ -, the first a letter or digit"
}

name! {
    /// The name of a polled endpoint: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
    EndpointName,
    first: |byte| byte.is_ascii_alphanumeric(),
    rest: |byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte),
    expected: "a name of 1 to 64 characters: A-Z a-z 0-9 . _ -, the first a letter or digit"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_within_the_pattern_are_accepted() {
        for text in ["a", "0", "Prices.eu-1_x", &"a".repeat(64)] {
            assert_eq!(EndpointName::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_outside_the_pattern_are_refused() {
        for text in ["", ".a", "-a", "a b", "a/b", "ä", "a{b}", &"a".repeat(65)] {
            assert!(EndpointName::new(text).is_err(), "{text}");
            assert!(ClusterName::new(text).is_err(), "{text}");
        }
        assert!(ClusterName::new("Prices").is_err());
    }
}
