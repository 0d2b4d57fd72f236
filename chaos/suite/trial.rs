//! Which runs there are: a fault or two at once, and a seed.

use std::time::Duration;

use fastrand::Rng;

use crate::fault::{Fault, Layout, Made};
use crate::faults::ALL;
use crate::run::{Bound, Invariant, Timing};

/// What two faults at once are called.
pub(crate) const PAIRS: &str = "pairs";
/// Their number in the table.
pub(crate) const PAIRS_NUMBER: u8 = 37;
/// By how much the second fault of a pair begins later, at most.
const APART: Duration = Duration::from_secs(2);

/// A run to be made.
#[derive(Clone, Copy)]
pub(crate) struct Trial {
    pub fault: &'static Fault,
    /// A second fault, and how much later it begins.
    pub second: Option<(&'static Fault, Duration)>,
    pub seed: u64,
}

impl Trial {
    /// What it is called: also its directory and its argument on the command line.
    pub(crate) fn name(&self) -> String {
        match self.second {
            Some((second, _)) => format!("{}+{}", self.fault.name, second.name),
            None => self.fault.name.to_owned(),
        }
    }

    /// By its name and seed, as a command line has them.
    pub(crate) fn named(name: &str, seed: u64) -> Option<Self> {
        if name == PAIRS || name == PAIRS_NUMBER.to_string() {
            return Some(Self::pair(seed));
        }
        let Some((first, second)) = name.split_once('+') else {
            return Some(Self { fault: find(name)?, second: None, seed });
        };
        let later = Rng::with_seed(seed).u64(0..=APART.as_millis() as u64);
        let second = Some((find(second)?, Duration::from_millis(later)));
        Some(Self { fault: find(first)?, second, seed })
    }

    /// Two faults at once, chosen by the seed among those that can be had together.
    fn pair(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let can = |fault: &&&'static Fault| fault.is_made_here();
        let all: Vec<&'static Fault> = ALL.iter().collect();
        let candidates: Vec<&'static Fault> = all.iter().filter(can).copied().collect();
        loop {
            let one = candidates[random.usize(..candidates.len())];
            let two = candidates[random.usize(..candidates.len())];
            if one.name != two.name && one.layout.with(two.layout).is_some() {
                let later = Duration::from_millis(random.u64(0..=APART.as_millis() as u64));
                return Self { fault: one, second: Some((two, later)), seed };
            }
        }
    }

    pub(crate) fn title(&self) -> String {
        match self.second {
            Some((second, later)) => {
                format!(
                    "{}, and {} ms later: {}",
                    self.fault.title,
                    later.as_millis(),
                    second.title
                )
            }
            None => self.fault.title.to_owned(),
        }
    }

    pub(crate) fn number(&self) -> u8 {
        if self.second.is_some() { PAIRS_NUMBER } else { self.fault.number }
    }

    /// What both need around them; `None` where they cannot be had together.
    pub(crate) fn layout(&self) -> Option<Layout> {
        match self.second {
            Some((second, _)) => self.fault.layout.with(second.layout),
            None => Some(self.fault.layout),
        }
    }

    /// What is counted. Of a pair nothing: the one's cost may be part of the other's.
    pub(crate) fn bound(&self, timing: &Timing) -> Bound {
        if self.second.is_some() { Bound::None } else { (self.fault.bound)(timing) }
    }

    /// How many claims by others there may be. In a pair each fault may cost one: two stalls that are
    /// each short enough make one that is not.
    pub(crate) fn changes(&self, timing: &Timing) -> usize {
        match self.second {
            Some((second, _)) => {
                (self.fault.changes)(timing).max(1) + (second.changes)(timing).max(1)
            }
            None => (self.fault.changes)(timing),
        }
    }

    /// How many claims by the leader itself there may be.
    pub(crate) fn reclaims(&self) -> usize {
        match self.second {
            Some((second, _)) => self.fault.reclaims.max(1) + second.reclaims.max(1),
            None => self.fault.reclaims,
        }
    }

    /// What it cannot be judged by. A pair also not by its pace, for the same reason as for its bound.
    pub(crate) fn spared(&self) -> Vec<Invariant> {
        let mut spared = self.fault.spared.to_vec();
        if let Some((second, _)) = self.second {
            spared.extend(second.spared);
            spared.push(Invariant::Isolation);
        }
        spared.sort_unstable();
        spared.dedup();
        spared
    }
}

impl Fault {
    pub(crate) fn is_made_here(&self) -> bool {
        matches!(self.made, Made::Here(_))
    }
}

/// A fault by its name.
fn find(name: &str) -> Option<&'static Fault> {
    ALL.iter().find(|fault| fault.name == name)
}

/// What a word of the command line stands for: one fault, all of a number, or a pair.
pub(crate) fn names_of(word: &str) -> Vec<String> {
    if Trial::named(word, 0).is_some() {
        return vec![word.to_owned()];
    }
    let number = word.parse::<u8>().ok();
    let all = ALL.iter().filter(|fault| Some(fault.number) == number && fault.is_made_here());
    all.map(|fault| fault.name.to_owned()).collect()
}

/// What is run if nothing is named: everything that can be made here, and a pair.
pub(crate) fn everything() -> Vec<String> {
    let all = ALL.iter().filter(|fault| fault.is_made_here());
    all.map(|fault| fault.name.to_owned()).chain([PAIRS.to_owned()]).collect()
}
