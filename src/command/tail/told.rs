use std::collections::HashMap;

use serde::Deserialize;

use crate::command::events::Event;
use crate::model::Version;

/// What was printed last of each endpoint: a stream of other endpoints than the one before begins
/// with what there is, much of which is known.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<String, Last>);

#[derive(Debug)]
enum Last {
    Published(Version),
    Gone,
}

/// What the data of `snapshot` and of `gone` have in common.
#[derive(Deserialize)]
struct Facts {
    #[serde(alias = "gone")]
    endpoint: String,
    #[serde(default)]
    version: Version,
}

impl Told {
    /// Whether an event says nothing new: a publication not newer than the last one of its endpoint,
    /// or that one is gone which was gone before. What is new is noted.
    pub(super) fn repeats(&mut self, event: &Event) -> bool {
        let gone = match &*event.kind {
            "snapshot" => false,
            "gone" => true,
            _ => return false,
        };
        let Ok(Facts { endpoint, version }) = serde_json::from_slice(&event.data) else {
            return false;
        };
        let repeats = match self.0.get(&endpoint) {
            Some(Last::Published(last)) => !gone && version <= *last,
            Some(Last::Gone) => gone,
            None => false,
        };
        if !repeats {
            let last = if gone { Last::Gone } else { Last::Published(version) };
            self.0.insert(endpoint, last);
        }
        repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, data: &'static str) -> Event {
        Event { kind: kind.to_owned(), id: None, data: data.into() }
    }

    #[test]
    fn what_is_known_of_an_endpoint_is_not_told_again_unless_it_was_gone() {
        let mut told = Told::default();
        let snapshot = |data| event("snapshot", data);
        for (event, repeats) in [
            (snapshot(r#"{"endpoint":"a","version":"1-2","data":{"version":"9-9"}}"#), false),
            (snapshot(r#"{"endpoint":"b","version":"1-1","data":[]}"#), false),
            (snapshot(r#"{"endpoint":"a","version":"1-2","data":1}"#), true),
            (snapshot(r#"{"endpoint":"a","version":"1-1","data":1}"#), true),
            (snapshot(r#"{"endpoint":"a","version":"1-10","data":1}"#), false),
            (event("stale", r#"{"endpoint":"a","age":1}"#), false),
            (event("stale", r#"{"endpoint":"a","age":1}"#), false),
            (event("gone", r#"{"gone":"a","version":"1-11"}"#), false),
            (event("gone", r#"{"gone":"a","version":"1-11"}"#), true),
            (snapshot(r#"{"endpoint":"a","version":"1-10","data":1}"#), false),
            (snapshot("what nobody knows"), false),
        ] {
            assert_eq!(told.repeats(&event), repeats, "{event:?}");
        }
    }
}
