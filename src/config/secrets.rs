use std::path::Path;

use super::environment::Environment;
use super::file::read_bounded;

/// The largest file behind `${file:PATH}`, in bytes: certificates and tokens are far smaller.
pub(super) const LARGEST: u64 = 64 * 1024;

/// A value with its secrets filled in.
pub(super) struct Expanded {
    pub(super) text: String,
    /// Whether any of it may be shown.
    pub(super) secret: bool,
}

/// Fills in `${env:NAME}` and `${file:PATH}`; `$${` stands for `${` itself.
///
/// Relative paths start at `directory`. What was filled in is not looked into again.
///
/// # Errors
/// A sentence for each that cannot be filled in.
pub(super) fn expand(
    text: &str,
    environment: &Environment,
    directory: &Path,
) -> Result<Expanded, Vec<String>> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), secret: false };
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inner = from.get(2..).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            expanded.text.push_str(before);
            expanded.text.push_str("${");
            rest = inner;
            continue;
        }
        expanded.text.push_str(before);
        let Some((reference, after)) = inner.split_once('}') else {
            errors.push("expected } after ${; write $${ for the characters themselves".to_owned());
            return Err(errors);
        };
        match look_up(reference, environment, directory) {
            Ok(value) => expanded.text.push_str(&value),
            Err(error) => errors.push(error),
        }
        expanded.secret = true;
        rest = after;
    }
    expanded.text.push_str(rest);
    if errors.is_empty() { Ok(expanded) } else { Err(errors) }
}

fn look_up(reference: &str, environment: &Environment, directory: &Path) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => match environment.get(name).map(|value| value.to_str()) {
            Some(Some(value)) => Ok(value.to_owned()),
            Some(None) => Err(format!("expected UTF-8 in the variable {name}, found other bytes")),
            None => Err(format!("expected the variable {name}, which is not set")),
        },
        Some(("file", path)) => {
            read_secret(&directory.join(path)).map_err(|error| format!("${{file:{path}}}: {error}"))
        }
        _ => Err("expected ${env:NAME} or ${file:PATH}; write $${ for the characters themselves"
            .to_owned()),
    }
}

/// Reads a secret's file without the line break that editors and `echo` leave at its end.
fn read_secret(path: &Path) -> Result<String, String> {
    let bytes = read_bounded(path, LARGEST)?;
    let mut text =
        String::from_utf8(bytes).map_err(|_| "expected UTF-8, found other bytes".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, Vec<String>> {
        let environment = [("A", "one"), ("B", "${env:A}")].into_iter().collect();
        expand(text, &environment, Path::new("")).map(|expanded| expanded.text)
    }

    #[test]
    fn secrets_stand_anywhere_in_a_value_and_are_not_expanded_again() {
        for (text, expected) in [
            ("", ""),
            ("plain $ {x} $$", "plain $ {x} $$"),
            ("${env:A}", "one"),
            ("<${env:A}-${env:A}>", "<one-one>"),
            ("${env:B}", "${env:A}"),
            ("$${env:A} ${env:A}", "${env:A} one"),
            ("$$${env:A}", "$${env:A}"),
        ] {
            assert_eq!(expanded(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn every_missing_secret_of_a_value_is_named() {
        assert_eq!(expanded("${env:X}${env:A}${env:Y}").unwrap_err().len(), 2);
    }
}
