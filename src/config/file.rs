use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::errors::{ConfigError, Position};

/// The largest configuration file, in bytes: room for some 40,000 endpoints.
pub(super) const LARGEST: u64 = 4 * 1024 * 1024;

/// Reads a configuration file as text, or says why it cannot be one.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    let refuse = |message| ConfigError::of_file(Position::File, message);
    let bytes = read_bounded(path, LARGEST).map_err(refuse)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..offset).unwrap_or_default();
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let message = format!("expected UTF-8, found another byte at offset {offset}");
        ConfigError::of_file(Position::Line(line), message)
    })?;
    refuse_control_characters(&text)?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Reads a file of at most `largest` bytes; a larger one is refused unread.
///
/// # Errors
/// A sentence without the file's name.
pub(super) fn read_bounded(path: &Path, largest: u64) -> Result<Vec<u8>, String> {
    let too_large = |size| format!("expected a file of at most {largest} bytes, found {size}");
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        return Err("expected a file, found a directory".to_owned());
    }
    if metadata.len() > largest {
        return Err(too_large(metadata.len().to_string()));
    }
    let mut bytes = Vec::new();
    // A pipe tells no size: the limit counts again while reading.
    File::open(path)
        .and_then(|file| file.take(largest + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > largest {
        return Err(too_large("more".to_owned()));
    }
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "expected a file, found none".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "expected a readable file, but permission is denied".to_owned()
        }
        _ => format!("expected a readable file: {error}"),
    }
}

/// YAML allows no control characters, but its parser takes a NUL for the end of the file.
fn refuse_control_characters(text: &str) -> Result<(), ConfigError> {
    let control = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    for (index, line) in text.split('\n').enumerate() {
        if let Some(found) = line.chars().find(|c| control(*c)) {
            let code = u32::from(found);
            let message = format!("expected text, found the control character U+{code:04X}");
            return Err(ConfigError::of_file(Position::Line(index + 1), message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_permission_is_named() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(unreadable(&error), "expected a readable file, but permission is denied");
    }
}
