//! The story of the leadership: claims from the store's timeline, crashes from the demo.

use serde::Serialize;

use super::replicas::Crash;
use crate::store::TimelineEntry;

/// How much of it is told.
const LONGEST: usize = 12;

/// One thing that happened to the leadership.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Change {
    /// When, in ms by the store's clock.
    at: u64,
    /// `crashed`, or an event of the timeline.
    event: String,
    /// To whom.
    replica: String,
    /// In which term.
    term: u64,
    /// Why a claim was possible; empty for other events.
    cause: String,
    /// For a claim, how long nobody had led, in seconds; null when nobody led before.
    without_leader: Option<f64>,
}

/// Puts both together, the newest first.
pub(super) fn tell(timeline: &[TimelineEntry], crashes: &[Crash]) -> Vec<Change> {
    // That a leader was found dead is told by its crash.
    let noted = timeline.iter().filter(|entry| entry.event != "reaped").map(|entry| Change {
        at: entry.at,
        event: entry.event.clone(),
        replica: entry.replica.clone(),
        term: entry.term,
        cause: entry.cause.clone(),
        without_leader: None,
    });
    let crashed = crashes.iter().map(|crash| Change {
        at: crash.at,
        event: "crashed".to_owned(),
        replica: crash.replica.clone(),
        term: crash.term,
        cause: String::new(),
        without_leader: None,
    });
    let mut changes: Vec<_> = noted.chain(crashed).collect();
    // What ended a term comes after the claim that began it, even within one millisecond.
    changes.sort_by_key(|change| (change.term, change.event != "claimed", change.at));
    let mut ended = None;
    for change in &mut changes {
        if change.event == "claimed" {
            change.without_leader =
                ended.take().map(|ended| change.at.saturating_sub(ended) as f64 / 1000.0);
        } else {
            ended = ended.or(Some(change.at));
        }
    }
    changes.reverse();
    changes.truncate(LONGEST);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(at: u64, replica: &str, term: u64) -> TimelineEntry {
        TimelineEntry {
            at,
            event: "claimed".into(),
            replica: replica.into(),
            term,
            cause: "expired".into(),
            gap: 1,
        }
    }

    #[test]
    fn a_claim_tells_for_how_long_nobody_led() {
        let timeline = [claimed(9500, "b", 8), claimed(1000, "a", 7)];
        let crashes = [Crash { at: 8000, replica: "a".into(), term: 7 }];
        let story = tell(&timeline, &crashes);
        let told: Vec<_> = story
            .iter()
            .map(|change| (change.event.as_str(), change.replica.as_str(), change.without_leader))
            .collect();
        let expected =
            [("claimed", "b", Some(1.5)), ("crashed", "a", None), ("claimed", "a", None)];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_crash_within_the_claims_millisecond_follows_it() {
        let crashes = [Crash { at: 1000, replica: "a".into(), term: 7 }];
        let story = tell(&[claimed(1000, "a", 7)], &crashes);
        assert_eq!(story.first().map(|change| change.event.as_str()), Some("crashed"));
    }
}
