//! `pollux schema`: what configuration files may hold.

use crate::config;

/// The configuration's JSON Schema, for editors and for Helm.
pub fn text() -> String {
    format!("{:#}\n", config::schema())
}
