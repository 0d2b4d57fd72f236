//! A line of `MONITOR`.

/// Who ran a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A client, by its address: `10.77.0.11:5555`.
    Client(String),
    /// The script that was started last: Redis runs one at a time.
    Script,
}

/// A command that Redis ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) source: Source,
    pub(super) words: Vec<Vec<u8>>,
}

impl Line {
    /// Reads `+1700000000.123456 [0 10.77.0.11:5555] "SET" "key" "value"`, with or without the end of
    /// line; `None` for what is no such line, as an answer is none.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let line = line.strip_prefix(b"+")?;
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let open = line.iter().position(|byte| *byte == b'[')?;
        // Addresses of IPv6 have brackets too: `[0 [::1]:5555] "PING"`.
        let close = open + line[open..].windows(3).position(|end| end == b"] \"")?;
        let origin = std::str::from_utf8(&line[open + 1..close]).ok()?;
        let (_database, who) = origin.split_once(' ')?;
        let source = if who == "lua" { Source::Script } else { Source::Client(who.to_owned()) };
        Some(Self { source, words: words(&line[close + 2..])? })
    }
}

/// Quoted words, with a space between each two.
fn words(mut rest: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    loop {
        let (word, after) = word(rest.strip_prefix(b"\"")?)?;
        words.push(word);
        match after.split_first() {
            None => return Some(words),
            Some((b' ', next)) => rest = next,
            Some(_) => return None,
        }
    }
}

/// A word from behind its opening quote, and what comes after its closing one.
fn word(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        // What needs no escape is nearly all, and is taken at once.
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        word.extend_from_slice(&rest[..plain]);
        rest = match &rest[plain..] {
            [b'"', after @ ..] => return Some((word, after)),
            [b'\\', b'x', high, low, after @ ..] => {
                let digits = [*high, *low];
                word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                after
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    itself => *itself,
                });
                after
            }
            _ => return None,
        };
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    fn read(line: &str) -> Option<(Source, Vec<Vec<u8>>)> {
        Line::read(line.as_bytes()).map(|line| (line.source, line.words))
    }

    #[test]
    fn a_line_tells_who_ran_what() {
        let words = |words: &[&str]| words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let client = |address: &str| Source::Client(address.to_owned());
        for (line, source, said) in [
            (
                "+1700000000.123456 [0 10.77.0.11:5555] \"PING\"\r\n",
                client("10.77.0.11:5555"),
                words(&["PING"]),
            ),
            (
                "+1700000000.123456 [0 lua] \"SET\" \"a]b \\\"c\" \"\"\r\n",
                Source::Script,
                words(&["SET", "a]b \"c", ""]),
            ),
            ("+1.0 [15 [::1]:5555] \"GET\" \"x\"", client("[::1]:5555"), words(&["GET", "x"])),
            (
                "+1.0 [0 unix:/tmp/a b] \"GET\" \"] \\\"\"",
                client("unix:/tmp/a b"),
                words(&["GET", "] \""]),
            ),
        ] {
            assert_eq!(read(line), Some((source, said)), "{line}");
        }
    }

    #[test]
    fn escapes_stand_for_any_byte() {
        let line = b"+1.0 [0 lua] \"SET\" \"\\x00\\xff\\n\\r\\t\\a\\b\\\\\\\"\\x22~\"";
        let words = Line::read(line).unwrap().words;
        assert_eq!(words[1], b"\x00\xff\n\r\t\x07\x08\\\"\"~");
    }

    #[test]
    fn other_lines_and_halves_of_lines_are_none() {
        for line in [
            "",
            "+OK\r\n",
            "+PONG\r\n",
            "-ERR no\r\n",
            "$5\r\n",
            "+1.0 [0 lua]",
            "+1.0 [0 lua] ",
            "+1.0 [0 lua] \"SET\" \"a",
            "+1.0 [0 lua] \"SET\"\"a\"",
            "+1.0 [0 lua] \"SET\" ",
            "+1.0 [0 lua] \"\\x0\"",
            "+1.0 [0 lua] \"\\xzz\"",
            "+1.0 [lua] \"SET\"",
            "+1.0 [0 lua] \"SET\\",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
