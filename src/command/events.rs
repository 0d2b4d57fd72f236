//! Server-Sent Events as they come, in pieces of any size.

use bytes::{Bytes, BytesMut};

/// The largest event, in bytes: more than the largest body on the wire.
const LARGEST: usize = 400 << 20;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its kind; empty where none is given.
    pub(super) kind: String,
    /// Its id, if it has one.
    pub(super) id: Option<String>,
    pub(super) data: Bytes,
}

/// What a stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Event(Event),
    /// When to connect again once the stream has ended, in ms.
    Retry(u64),
    /// The last id counts no more: whoever connects again starts from nothing.
    Forget,
}

/// Takes a stream apart. Each byte is looked at once, however small the pieces are, and what is
/// kept is one event at most.
#[derive(Debug)]
pub(super) struct Events {
    pending: BytesMut,
    /// How much of it has no end of a line.
    searched: usize,
    event: Event,
    lines: usize,
    /// The largest event, in bytes.
    largest: usize,
}

/// An event larger than any that a gateway sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Default for Events {
    fn default() -> Self {
        Self {
            pending: BytesMut::new(),
            searched: 0,
            event: Event::default(),
            lines: 0,
            largest: LARGEST,
        }
    }
}

impl Events {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), TooLarge> {
        if self.pending.len() + self.event.data.len() + piece.len() > self.largest {
            return Err(TooLarge);
        }
        self.pending.extend_from_slice(piece);
        Ok(())
    }

    /// What is complete by now.
    pub(super) fn next(&mut self) -> Option<Said> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.lines) > 0 {
                    return Some(Said::Event(event));
                }
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            let name = line.slice(..colon);
            let mut value = line.slice((colon + 1).min(line.len())..);
            if value.first() == Some(&b' ') {
                value = value.slice(1..);
            }
            let text = || String::from_utf8_lossy(&value).into_owned();
            match &*name {
                b"event" => self.event.kind = text(),
                b"id" if value.is_empty() => return Some(Said::Forget),
                b"id" => self.event.id = Some(text()),
                b"data" => self.add(value),
                b"retry" => {
                    if let Ok(ms) = text().parse() {
                        return Some(Said::Retry(ms));
                    }
                }
                // Comments, and what later gateways may send.
                _ => {}
            }
        }
        None
    }

    fn add(&mut self, value: Bytes) {
        self.lines += 1;
        self.event.data = match self.lines {
            1 => value,
            _ => [&self.event.data[..], b"\n", &value].concat().into(),
        };
    }

    /// The next line, without its end.
    fn line(&mut self) -> Option<Bytes> {
        let found = self.pending.iter().skip(self.searched).position(|byte| *byte == b'\n');
        let Some(at) = found else {
            self.searched = self.pending.len();
            return None;
        };
        let mut line = self.pending.split_to(self.searched + at + 1).freeze();
        self.searched = 0;
        line.truncate(line.len() - 1);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn all(events: &mut Events) -> Vec<Said> {
        std::iter::from_fn(|| events.next()).collect()
    }

    #[test]
    fn a_stream_means_the_same_in_pieces_of_any_size() {
        let text = b"retry: 700\n\n:\n\nid: 1-2\r\nevent: snapshot\r\ndata: {\"a\": 1}\r\n\r\n\
                     data:x\ndata: y\n\nevent: none\n\ndata: cut";
        let mut whole = Events::default();
        whole.push(text).unwrap();
        let expected = all(&mut whole);
        let snapshot = Event {
            kind: "snapshot".to_owned(),
            id: Some("1-2".to_owned()),
            data: Bytes::from_static(b"{\"a\": 1}"),
        };
        let two = Event { data: Bytes::from_static(b"x\ny"), ..Event::default() };
        assert_eq!(expected, [Said::Retry(700), Said::Event(snapshot), Said::Event(two)]);
        for size in [1, 2, 3, 7] {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in text.chunks(size) {
                events.push(piece).unwrap();
                found.extend(all(&mut events));
            }
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn large_events_take_a_time_in_proportion_to_their_size() {
        let started = Instant::now();
        let mut events = Events::default();
        for _ in 0..2 {
            events.push(b"event: snapshot\ndata: ").unwrap();
            for _ in 0..10_000 {
                events.push(&[b'x'; 1_000]).unwrap();
                assert_eq!(events.next(), None);
            }
            events.push(b"\n\n").unwrap();
            let Some(Said::Event(event)) = events.next() else { panic!("an event") };
            assert_eq!(event.data.len(), 10_000_000);
        }
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut events = Events { largest: 100, ..Events::default() };
        for _ in 0..2 {
            events.push(&[b'x'; 40]).unwrap();
            assert_eq!(events.next(), None);
        }
        assert_eq!(events.push(&[b'x'; 40]), Err(TooLarge));
        let mut lines = Events { largest: 100, ..Events::default() };
        for _ in 0..2 {
            lines.push(&[&b"data:"[..], &[b'x'; 40], b"\n"].concat()).unwrap();
            assert_eq!(lines.next(), None);
        }
        assert_eq!(lines.push(&[b'x'; 40]), Err(TooLarge));
    }
}
