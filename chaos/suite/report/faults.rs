//! Which fault there was from when to when.

use super::markup::{Lane, duration, escape};
use super::scale::Scale;
use crate::history::{Event, Function, Kind};

/// A fault, in µs.
pub(super) struct Spell {
    pub(super) what: String,
    pub(super) from: u64,
    pub(super) landed: Option<(u64, String)>,
    pub(super) healed: Option<(u64, String)>,
}

/// All faults; what lands or heals is the one that was made last and has not yet.
pub(super) fn of(history: &[Event]) -> Vec<Spell> {
    let mut spells: Vec<Spell> = Vec::new();
    for event in history.iter().filter(|event| event.f == Function::Fault) {
        let what = event.note.clone().unwrap_or_default();
        match event.kind {
            Kind::Invoke => {
                spells.push(Spell { what, from: event.t, landed: None, healed: None });
            }
            Kind::Ok => {
                if let Some(spell) = spells.iter_mut().rev().find(|spell| spell.landed.is_none()) {
                    spell.landed = Some((event.t, what));
                }
            }
            Kind::Info => {
                if let Some(spell) = spells.iter_mut().rev().find(|spell| spell.healed.is_none()) {
                    spell.healed = Some((event.t, what));
                }
            }
            Kind::Fail => {}
        }
    }
    spells
}

/// The shade of faults behind a lane.
pub(super) fn shade(scale: &Scale, spells: &[Spell]) -> String {
    let shade = |spell: &Spell| scale.bar("shade", spell.from, end(scale, spell), 0.0, 100.0);
    spells.iter().map(shade).collect()
}

fn end(scale: &Scale, spell: &Spell) -> u64 {
    spell.healed.as_ref().map_or(scale.length, |(t, _)| *t)
}

pub(super) fn lane(scale: &Scale, spells: &[Spell]) -> String {
    let (mut drawing, mut texts, mut described) = (String::new(), Vec::new(), Vec::new());
    for spell in spells {
        let end = end(scale, spell);
        drawing.push_str(&scale.bar("fault", spell.from, end, 48.0, 52.0));
        if let Some((landed, _)) = &spell.landed {
            drawing.push_str(&scale.bar("landed", *landed, *landed, 40.0, 60.0));
        }
        texts.push((spell.from, spell.what.clone()));
        let (from, to) = (duration(spell.from), duration(end));
        described.push(format!("{} from {from} to {to}", spell.what));
    }
    Lane {
        class: "faults",
        name: "faults",
        note: "",
        described: &described.join("; "),
        drawing: &drawing,
        labels: &scale.labels("over", texts),
    }
    .html()
}

/// In words, each with its time.
pub(super) fn lines(spells: &[Spell]) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    for spell in spells {
        lines.push((spell.from, format!("<b class=\"bad\">Fault</b>: {}", escape(&spell.what))));
        if let Some((t, proof)) = &spell.landed {
            lines.push((*t, format!("It landed: {}", escape(proof))));
        }
        if let Some((t, how)) = &spell.healed {
            lines.push((*t, format!("<b class=\"good\">Healed</b>: {}", escape(how))));
        }
    }
    lines
}
