//! The time axis: all lanes are a thousand units wide, and begin and end with the history.

use super::markup::escape;
use crate::history::Event;

/// How finely things are drawn: in one such part of the width, what happens often is one mark.
pub(super) const PARTS: usize = 800;
/// How many labels the axis has at most.
const LABELS: u64 = 12;

/// How wide a letter is in a window of common width.
const LETTER: f64 = 7.5;

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

    /// Texts, each at a time, of which one that would lie upon the one before is left out. In a window
    /// too narrow for the others, those that lack the room are not shown.
    pub(super) fn labels(&self, class: &str, mut texts: Vec<(u64, String)>) -> String {
        texts.sort();
        let mut placed: Vec<(f64, f64, &str, &str)> = Vec::new();
        for (t, text) in &texts {
            let (at, width) = (self.x(*t), text.chars().count() as f64 * LETTER + 20.0);
            let free_from = placed.last().map_or(0.0, |(_, end, ..)| *end);
            if at >= free_from && at + width <= 1000.0 {
                placed.push((at, at + width, "", text));
            } else if at - width >= free_from && at + width > 1000.0 {
                placed.push((at - width, at, " left", text));
            }
        }
        let mut labels = String::new();
        for (number, (from, to, side, text)) in placed.iter().enumerate() {
            // As far as the next one begins, if it reads from left to right.
            let next = placed.get(number + 1).map_or(1000.0, |(from, ..)| *from);
            let to = if side.is_empty() { next } else { *to };
            labels.push_str(&boxed(&format!("{class}{side}"), *from, to, &[text]));
        }
        labels
    }

    /// Texts between two times, as many as there is room for.
    pub(super) fn label(&self, class: &str, from: u64, to: u64, texts: &[&str]) -> String {
        boxed(class, self.x(from), self.x(to), texts)
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

/// Texts in a box. What does not fit beside the empty element moves below, out of sight.
fn boxed(class: &str, from: f64, to: f64, texts: &[&str]) -> String {
    let (left, width) = (from / 10.0, (to - from) / 10.0);
    let texts: String = texts.iter().map(|text| format!("<b>{}</b>", escape(text))).collect();
    format!(
        "<span class=\"label {class}\" style=\"left:{left:.1}%;width:{width:.1}%\"><i></i>\
         {texts}</span>"
    )
}
