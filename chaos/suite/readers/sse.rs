//! Server-Sent Events as a browser's `EventSource` reads them.

use std::time::Duration;

/// An event that was dispatched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) kind: String,
    pub(super) data: Vec<u8>,
}

/// Reads streams, one after the other.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    kind: String,
    data: Vec<u8>,
    id: String,
    last_id: String,
    retry: Option<Duration>,
}

impl Parser {
    /// What the client says it has: the id of the last event; empty if it has nothing.
    pub(super) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// When the client was told to connect again, if it was.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// A new stream begins: what came of an event before is forgotten, but not the last id.
    pub(super) fn begin(&mut self) {
        self.line.clear();
        self.kind.clear();
        self.data.clear();
        self.id.clone_from(&self.last_id);
    }

    /// Says from now on that the client has nothing.
    pub(super) fn forget(&mut self) {
        self.last_id.clear();
        self.begin();
    }

    /// Takes the next bytes of the stream, cut anywhere; hands over what they complete.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut dispatch: impl FnMut(Message)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            bytes = &bytes[end + 1..];
            // A new buffer each time: between two events a reader holds none.
            let line = std::mem::take(&mut self.line);
            if let Some(message) = self.line_ends(line.strip_suffix(b"\r").unwrap_or(&line)) {
                dispatch(message);
            }
        }
        self.line.extend_from_slice(bytes);
    }

    fn line_ends(&mut self, line: &[u8]) -> Option<Message> {
        if line.is_empty() {
            return self.event_ends();
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match &line[..colon] {
            b"event" => self.kind = text(),
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"id" if !value.contains(&0) => self.id = text(),
            b"retry" => {
                self.retry = text().parse().ok().map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
        None
    }

    fn event_ends(&mut self) -> Option<Message> {
        self.last_id.clone_from(&self.id);
        let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
        (!data.is_empty()).then_some(Message { kind, data })
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the bench has them compiled, and not run")]
mod tests {
    use super::*;

    fn feed(parser: &mut Parser, text: &str) -> Vec<(String, String)> {
        let mut messages = Vec::new();
        parser.feed(text.as_bytes(), |message| {
            messages.push((message.kind, String::from_utf8(message.data).unwrap()));
        });
        messages
    }

    fn message(kind: &str, data: &str) -> (String, String) {
        (kind.to_owned(), data.to_owned())
    }

    const STREAM: &str = "retry: 700\n\n:\n\nid: 7-1\nevent: snapshot\ndata: {\"a\":1}\n\n\
        event: stale\ndata: x\n\nid: 7-2\r\nevent:snapshot\r\ndata:b\r\ndata:  c\r\n\r\n";

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let mut messages = Vec::new();
            for piece in STREAM.as_bytes().chunks(size) {
                messages.extend(feed(&mut parser, std::str::from_utf8(piece).unwrap()));
            }
            let expected = [
                message("snapshot", "{\"a\":1}"),
                message("stale", "x"),
                message("snapshot", "b\n c"),
            ];
            assert_eq!(messages, expected, "in pieces of {size}");
            assert_eq!(
                (parser.last_id(), parser.retry()),
                ("7-2", Some(Duration::from_millis(700)))
            );
        }
    }

    #[test]
    fn an_event_counts_once_it_is_whole() {
        let mut parser = Parser::default();
        feed(&mut parser, "id: 7-1\ndata: a\n\nid: 7-2\nevent: snapshot\ndata: b\n");
        assert_eq!(parser.last_id(), "7-1");
        parser.begin();
        assert_eq!(feed(&mut parser, "data: c\n\n"), [message("", "c")]);
        assert_eq!(parser.last_id(), "7-1");
    }

    #[test]
    fn an_empty_id_makes_a_client_forget() {
        let mut parser = Parser::default();
        feed(&mut parser, "id: 7-1\ndata: a\n\n");
        assert!(feed(&mut parser, "id:\n\n").is_empty());
        assert_eq!(parser.last_id(), "");
    }

    #[test]
    fn fields_that_mean_nothing_are_passed_over() {
        let mut parser = Parser::default();
        assert!(
            feed(&mut parser, "retry: soon\nid: a\0b\nfoo: bar\nevent\n: data: x\n\n").is_empty()
        );
        assert_eq!((parser.last_id(), parser.retry()), ("", None));
    }
}
