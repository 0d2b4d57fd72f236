//! How many streams were open.

use super::faults::{self, Spell};
use super::markup::Lane;
use super::scale::Scale;
use crate::checker::readers;
use crate::history::Event;

/// A lane that is as high as there are streams.
pub(super) fn lane(history: &[Event], scale: &Scale, faults: &[Spell]) -> String {
    let readers = readers::of(history);
    let total = readers.values().filter(|reader| reader.streams()).count();
    let mut steps: Vec<(u64, i64)> = Vec::new();
    for connection in readers.values().flat_map(|reader| &reader.connections) {
        let Some(opened) = connection.opened() else { continue };
        steps.push((opened, 1));
        steps.extend(connection.ended.map(|ended| (ended, -1)));
    }
    steps.sort_unstable();
    let y = |open: i64| (1.0 - open as f64 / total.max(1) as f64) * 92.0 + 8.0;
    let (mut open, mut least, mut path) = (0, i64::MAX, "M0 100".to_owned());
    let mut drawn = None;
    let mut all = false;
    for (number, (t, step)) in steps.iter().enumerate() {
        open += step;
        all |= open == total as i64;
        if all {
            least = least.min(open);
        }
        // Of steps at one place the last counts, unless streams are gone there.
        let part = scale.part(*t);
        let next = steps.get(number + 1).map(|(t, _)| scale.part(*t));
        if drawn != Some(part) || next != Some(part) {
            path.push_str(&format!("H{}V{:.0}", scale.x(*t), y(open)));
            drawn = Some(part);
        }
    }
    path.push_str("H1000V100Z");
    let drawing = format!("{}<path class=\"streams\" d=\"{path}\"/>", faults::shade(scale, faults));
    let least = if least == i64::MAX { 0 } else { least };
    Lane {
        class: "clients",
        name: "streams",
        note: &format!("{total}, at least {least} open"),
        described: &format!("{total} readers keep streams; at least {least} were open at any time"),
        drawing: &drawing,
        labels: "",
    }
    .html()
}
