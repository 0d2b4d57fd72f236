//! The guarantees, as properties.

use stateright::Property;

use crate::cluster::{Cluster, State};
use crate::replica::Role;

/// What is promised, and that the promise is put to the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    OneEffectiveWriter,
    ReaderNeverGoesBack,
    NothingCurrentIsLost,
    ReadersHoldWhatTheStoreHolds,
    NoLateBeat,
    NoFlapping,
    UniqueLeaderships,
    /// No guarantee: after all faults there are, everything can be well again.
    Heals,
}

impl Guarantee {
    pub const ALL: [Self; 8] = [
        Self::OneEffectiveWriter,
        Self::ReaderNeverGoesBack,
        Self::NothingCurrentIsLost,
        Self::ReadersHoldWhatTheStoreHolds,
        Self::NoLateBeat,
        Self::NoFlapping,
        Self::UniqueLeaderships,
        Self::Heals,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::OneEffectiveWriter => {
                "in one server's history publications take effect in version order, none twice"
            }
            Self::ReaderNeverGoesBack => "a reader never goes back",
            Self::NothingCurrentIsLost => {
                "once all is settled somebody leads, and every reader holds the newest snapshot"
            }
            Self::ReadersHoldWhatTheStoreHolds => {
                "once all is settled every reader holds what the store holds"
            }
            Self::NoLateBeat => "no beat tells of checks after a later one did",
            Self::NoFlapping => "a lost connection that is back within 50 ms costs no leadership",
            Self::UniqueLeaderships => "a leadership is unique as (term, lease value)",
            Self::Heals => "all settles and is current after the last fault",
        }
    }

    pub fn property(self) -> Property<Cluster> {
        let name = self.name();
        match self {
            Self::OneEffectiveWriter => {
                Property::always(name, |_, state: &State| !state.ghost.out_of_order)
            }
            Self::ReaderNeverGoesBack => {
                Property::always(name, |_, state: &State| !state.ghost.went_back)
            }
            Self::NothingCurrentIsLost => {
                Property::always(name, |model: &Cluster, state: &State| {
                    is_current(state) || is_excused(state) || !model.is_settled(state)
                })
            }
            Self::ReadersHoldWhatTheStoreHolds => {
                Property::always(name, |model: &Cluster, state: &State| {
                    is_delivered(state) || is_excused(state) || !model.is_settled(state)
                })
            }
            Self::NoLateBeat => Property::always(name, |_, state: &State| !state.ghost.late_beat),
            Self::NoFlapping => Property::always(name, |_, state: &State| !state.ghost.flapped),
            Self::UniqueLeaderships => {
                Property::always(name, |_, state: &State| !state.ghost.twins)
            }
            Self::Heals => Property::sometimes(name, |model: &Cluster, state: &State| {
                let left = &state.left;
                (left.faults, left.changes) == (0, 0)
                    && is_current(state)
                    && model.is_settled(state)
            }),
        }
    }
}

/// Whether the clock is behind and the last term forgotten, so that readers have to wait.
fn is_excused(state: &State) -> bool {
    state.servers[state.address].data.excused > 0
}

/// Whether every reader has the body in the store, if there is one.
fn is_delivered(state: &State) -> bool {
    let stored = state.servers[state.address].data.snapshot.body;
    let gateways = state.gateways.iter().map(|gateway| gateway.held.body);
    let client = (!state.gateways.is_empty()).then_some(state.client.has.body);
    stored == 0 || gateways.chain(client).all(|held| held == stored)
}

/// Whether an awake replica leads, has published what the backend answers, and every reader has it.
fn is_current(state: &State) -> bool {
    let data = &state.servers[state.address].data;
    let leads = state.replicas.iter().any(|replica| {
        let recorded = |term, lease| {
            data.record.is_some_and(|record| (record.term, record.lease) == (term, lease))
        };
        match replica.role {
            Role::Leading(leadership) => {
                !replica.frozen
                    && data.lease == leadership.lease
                    && recorded(leadership.term, leadership.lease)
            }
            _ => false,
        }
    });
    let newest = state.backend;
    leads
        && data.snapshot.body == newest
        && state.gateways.iter().all(|gateway| gateway.held.body == newest)
        && (state.gateways.is_empty() || state.client.has.body == newest)
}
