//! The time axis: all lanes are a thousand units wide, and begin and end with the history.

use crate::history::Event;

/// How finely things are drawn: in one such part of the width, what happens often is one mark.
pub(super) const PARTS: usize = 800;
/// How many labels the axis has at most.
const LABELS: u64 = 12;

/// From times, in µs, to places.
pub(super) struct Scale {
    pub(super) length: u64,
}

impl Scale {
    pub(super) fn of(history: &[Event]) -> Self {
        Self { length: history.last().map_or(0, |event| event.t).max(1) }
    }

    /// A place from 0 to 1000.
    pub(super) fn x(&self, t: u64) -> f64 {
        (t.min(self.length) as f64 / self.length as f64 * 10_000.0).round() / 10.0
    }

    /// The time of a place, in µs.
    pub(super) fn at(&self, x: f64) -> u64 {
        (x / 1000.0 * self.length as f64) as u64
    }

    /// A place in percent, for labels.
    pub(super) fn percent(&self, t: u64) -> f64 {
        self.x(t) / 10.0
    }

    /// Which of [`PARTS`] a time is in.
    pub(super) fn part(&self, t: u64) -> usize {
        (self.x(t) / 1000.0 * PARTS as f64) as usize
    }

    /// A box over the height of a lane.
    pub(super) fn bar(&self, class: &str, from: u64, to: u64, top: f64, height: f64) -> String {
        let x = self.x(from);
        // What is shorter than a pixel is still to be seen.
        let width = (self.x(to) - x).max(0.8);
        format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\"/>"
        )
    }

    /// A text that begins at a time, or ends there where it would not fit otherwise.
    pub(super) fn label(&self, class: &str, t: u64, text: &str) -> String {
        let percent = self.percent(t);
        if percent > 80.0 {
            let right = 100.0 - percent;
            return format!(
                "<span class=\"{class} left\" style=\"right:{right:.1}%\">{text}</span>"
            );
        }
        format!("<span class=\"{class}\" style=\"left:{percent:.1}%\">{text}</span>")
    }

    /// From one label of the axis to the next, in seconds.
    pub(super) fn step(&self) -> u64 {
        let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800];
        let fits = |step: &u64| self.length / (step * 1_000_000) <= LABELS;
        steps.into_iter().find(fits).unwrap_or(3600)
    }

    /// The axis itself.
    pub(super) fn axis(&self) -> String {
        let seconds = self.length as f64 / 1e6;
        let step = self.step();
        let labels: String = (0..=self.length / 1_000_000)
            .step_by(usize::try_from(step).unwrap_or(1))
            .map(|second| {
                let at = self.percent(second * 1_000_000);
                let odd = if (second / step) % 2 == 1 { " class=\"odd\"" } else { "" };
                format!("<span{odd} style=\"left:{at:.1}%\">{second} s</span>")
            })
            .collect();
        format!(
            "<div class=\"lane axis\" role=\"img\" aria-label=\"A time axis of {seconds:.1} seconds\">\
             <div class=\"name\"></div><div class=\"track\" aria-hidden=\"true\">{labels}</div></div>\n"
        )
    }
}
