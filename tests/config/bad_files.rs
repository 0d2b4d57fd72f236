//! Files that are refused as a whole.

use std::time::{Duration, Instant};

use pollux::config::Environment;
use tempfile::TempDir;

use crate::{load_in, load_with, refusal};

#[test]
fn files_that_are_no_settings_are_refused() {
    let nested = format!("a: {}", "[".repeat(10_000));
    let blocks = "- ".repeat(10_000);
    let table: [(&[u8], &str); 14] = [
        (b"", ": expected settings such as `cluster: prices`, found an empty file"),
        (b"# nothing\n", ": expected settings such as `cluster: prices`, found an empty file"),
        (b"---\n", ": expected settings"),
        (b"cluster", "1: expected settings"),
        (b"\n- a\n", "2: expected settings"),
        (b"cluster: c", "1: endpoints: expected a list of endpoints, at least one, found nothing"),
        (
            b"cluster: c\nendpoints: []",
            "2: endpoints: expected a list of endpoints, at least one, found none",
        ),
        (
            b"cluster: c\nendpoints: {}",
            "2: endpoints: expected a list of endpoints, at least one, found a mapping",
        ),
        (b"a: b\nc: \xff", "2: expected UTF-8, found another byte at offset 8"),
        (b"\xff\xfea\0", "1: expected UTF-8, found another byte at offset 0"),
        (b"a: b\nc: \0\n", "2: expected text, found the control character U+0000"),
        (b"a: [b\nc: d\n", "2: expected YAML: "),
        (nested.as_bytes(), "1: expected YAML: recursion limit exceeded"),
        (blocks.as_bytes(), "1: expected at most 32 levels of lists and mappings"),
    ];
    for (bytes, expected) in table {
        let found = load_with(bytes, &Environment::default()).unwrap_err();
        let shown = String::from_utf8_lossy(bytes);
        assert!(found.starts_with("pollux.yaml:"), "{found}");
        assert!(found.contains(expected), "{shown:.40}: {found}");
    }
}

#[test]
fn a_missing_file_and_a_directory_are_refused() {
    let directory = TempDir::new().unwrap();
    let found = load_in(&directory, &Environment::default()).unwrap_err();
    assert_eq!(found, "pollux.yaml: expected a file, found none");
    std::fs::create_dir(directory.path().join("pollux.yaml")).unwrap();
    let found = load_in(&directory, &Environment::default()).unwrap_err();
    assert_eq!(found, "pollux.yaml: expected a file, found a directory");
}

#[test]
fn an_over_large_file_is_refused_unread() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("pollux.yaml");
    let size = 1 << 40;
    std::fs::File::create(path).unwrap().set_len(size).unwrap();
    let found = load_in(&directory, &Environment::default()).unwrap_err();
    assert_eq!(
        found,
        format!("pollux.yaml: expected a file of at most 4194304 bytes, found {size}")
    );
}

#[test]
fn an_alias_bomb_is_refused_at_once() {
    let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        yaml += &format!("a{level}: &a{level} [{below}]\n");
    }
    let started = Instant::now();
    let found = refusal(&yaml);
    assert!(
        found.ends_with("expected at most 1000000 values, those behind aliases included"),
        "{found}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
}
