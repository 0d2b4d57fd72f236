use bytes::Bytes;
use tokio::time::Instant;

use crate::model::{Publication, Version};

/// What follows the publication in its event.
const END: &[u8] = b"\n\n";

/// A publication with the Server-Sent Event that carries it, made once for all subscribers.
#[derive(Debug)]
pub struct Snapshot {
    publication: Publication,
    event: Bytes,
    arrived: Instant,
}

impl Snapshot {
    /// Makes the event of a publication that arrives at this moment.
    pub fn new(publication: Publication) -> Self {
        Self::arrived_at(publication, Instant::now())
    }

    /// Makes the event of a publication that has arrived at this gateway.
    pub(super) fn arrived_at(publication: Publication, arrived: Instant) -> Self {
        let head = format!("id: {}\nevent: snapshot\ndata: ", publication.version);
        let json = publication.json();
        let mut event = Vec::with_capacity(head.len() + json.len() + END.len());
        event.extend_from_slice(head.as_bytes());
        event.extend_from_slice(json);
        // A line break would end the event's line. In JSON it can only stand between tokens.
        for byte in &mut event[head.len()..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        event.extend_from_slice(END);
        let event = Bytes::from(event);
        // Reading the publication from within the event lets both share one copy of the body.
        let shared = Publication::decode(event.slice(head.len()..event.len() - END.len()));
        Self { publication: shared.unwrap_or(publication), event, arrived }
    }

    /// The publication.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.publication.version
    }

    /// When it arrived at this gateway, by whichever way.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The event without its `id`, for streams that cannot be resumed by it.
    pub fn event_without_id(&self) -> Bytes {
        let id = self.event.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.event.slice(id..)
    }

    /// The publication as a Server-Sent Event: `id`, `event: snapshot`, and `data` in one line.
    pub fn event(&self) -> &Bytes {
        &self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, EndpointName};

    fn snapshot(body: &'static [u8]) -> Snapshot {
        Snapshot::new(Publication::new(
            EndpointName::new("a").unwrap(),
            Version::new(7, 3),
            5,
            "application/json".into(),
            Body::json(Bytes::from_static(body)).unwrap(),
        ))
    }

    #[test]
    fn an_event_carries_the_version_and_the_publication_in_one_line() {
        assert_eq!(
            snapshot(b"[1]").event(),
            "id: 7-3\nevent: snapshot\ndata: {\"endpoint\":\"a\",\"version\":\"7-3\",\"fetched_at\":5,\"content_type\":\"application/json\",\"data\":[1]}\n\n"
        );
    }

    #[test]
    fn an_event_can_do_without_its_id() {
        let snapshot = snapshot(b"[1]");
        let (event, without) = (snapshot.event(), snapshot.event_without_id());
        assert_eq!(event[..], [b"id: 7-3\n", &without[..]].concat());
    }

    #[test]
    fn a_line_break_from_a_foreign_publisher_does_not_split_the_event() {
        let json = b"{\"endpoint\":\"a\",\n\"version\":\"7-3\",\r\n\"fetched_at\":5,\"content_type\":\"application/json\",\"data\":[1,\n2]}";
        let foreign = Publication::decode(Bytes::from_static(json)).unwrap();
        let event = Snapshot::new(foreign).event().clone();
        let text = std::str::from_utf8(&event).unwrap();
        assert_eq!(text.trim_end().lines().count(), 3, "{text}");
        assert!(!text.contains('\r'));
    }

    #[test]
    fn the_body_is_held_in_memory_once() {
        let snapshot = snapshot(b"[1,2,3]");
        let body = snapshot.publication().body.bytes();
        assert!(snapshot.event().as_ptr_range().contains(&body.as_ptr()));
    }
}
