//! What single values look like, as far as a pattern can tell.
//!
//! The reader takes the text of scalars, so numbers and booleans are as good where their text is.
//! Secrets may stand anywhere in a value, and what they stand for is not known here: a value with
//! one fits every pattern.

use serde_json::{Value, json};

/// A value with a secret in it.
const SECRET: &str = r"\$\{(env|file):[^}]*\}";

/// A duration such as `1h30m`.
pub(super) const DURATION: &str = "([0-9]+(ms|[hms]))+";

/// A size such as `512KiB`.
pub(super) const SIZE: &str = "[0-9]+(B|[kKMG]B|[KMG]iB)?";

/// A whole number as text.
pub(super) const NUMBER: &str = "[0-9]+";

/// An IP address and a port.
pub(super) const LISTEN: &str =
    r"([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]):[0-9]{1,5}";

/// An http or https URL with a host.
pub(super) const HTTP_URL: &str = "https?://[^/?#]+.*";

/// A redis or rediss URL with a host and perhaps a database.
pub(super) const REDIS_URL: &str = "rediss?://[^/?#]+(/[0-9]*)?";

/// A name, or an IPv6 address in brackets, and perhaps a port.
pub(super) const ADDRESS: &str = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?";

/// A media type without parameters, or a range of them.
pub(super) const MEDIA_RANGE: &str =
    r"(\*/\*|[A-Za-z0-9!#$%&'+.^_`|~-]+/(\*|[A-Za-z0-9!#$%&'+.^_`|~-]+))";

/// A header's name.
pub(super) const HEADER_NAME: &str = "[A-Za-z0-9!#$%&'*+.^_`|~-]+";

/// A text, as the pattern has it from its first character to its last.
pub(super) fn text(about: &str, pattern: &str) -> Value {
    json!({ "description": about, "type": "string", "pattern": whole(pattern) })
}

/// A text which digits or a word may make look like a number or boolean.
pub(super) fn scalar(about: &str, pattern: &str) -> Value {
    let types = ["string", "number", "boolean"];
    json!({ "description": about, "type": types, "pattern": whole(pattern) })
}

/// A number in a range, or its text, which `pattern` describes.
pub(super) fn number(about: &str, pattern: &str, least: u64, most: u64) -> Value {
    json!({
        "description": about,
        "type": ["integer", "string"],
        "minimum": least,
        "maximum": most,
        "pattern": whole(pattern),
    })
}

/// A duration above zero, which a pattern that people can read does not tell.
pub(super) fn duration(about: &str) -> Value {
    text(about, DURATION)
}

/// A duration, or zero to switch something off.
pub(super) fn duration_or_off(about: &str) -> Value {
    number(about, &format!("0|{DURATION}"), 0, 0)
}

/// A list with one item at least, or a single text in its place, which `single` describes.
pub(super) fn list_or_text(about: &str, item: &str, single: &str) -> Value {
    json!({
        "description": about,
        "type": ["array", "string"],
        "minItems": 1,
        "items": { "type": "string", "pattern": whole(item) },
        "pattern": whole(single),
    })
}

/// Adds what holds where the setting is absent.
pub(super) fn or(default: impl Into<Value>, mut shape: Value) -> Value {
    shape["default"] = default.into();
    shape
}

/// Anchors a pattern, and lets secrets through.
fn whole(pattern: &str) -> String {
    format!("^({pattern})$|{SECRET}")
}
