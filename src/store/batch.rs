use bytes::Bytes;

use super::PollState;
use crate::model::{EndpointName, Gone, Publication};

/// Publications that take effect together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The sequence the record must have.
    pub after: u64,
    /// The publications, numbered from `after + 1` on without a gap.
    pub items: Vec<BatchItem>,
    /// The endpoints that are no longer polled, numbered on from the last of `items`. The store
    /// forgets what it knows of them, their snapshots after a day.
    pub gone: Vec<Gone>,
    /// The endpoints with a good check since the last batch, and when that was, in ms by the
    /// store's clock.
    pub checked: Vec<(EndpointName, u64)>,
    /// State that changed without a publication.
    pub states: Vec<(EndpointName, PollState)>,
    /// Whether to tell the gateways which endpoints were checked.
    pub beat: Option<DatedBeat>,
    /// How many publications the history keeps; 0: there is none.
    pub history: u64,
}

impl Batch {
    /// The sequence once the batch has taken effect.
    pub fn last(&self) -> u64 {
        self.after + (self.items.len() + self.gone.len()) as u64
    }

    /// Whether it brings the record forward, and not just a beat, checks or states.
    pub fn has_versions(&self) -> bool {
        self.last() > self.after
    }
}

/// A beat, which may be on its way for so long that what it says is no longer so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedBeat {
    /// The message.
    pub json: Bytes,
    /// Until when the store passes it on, in ms by its clock. Gateways take the checks that a beat
    /// tells of for new; a copy that was stuck in a connection would make old ones look so.
    pub until: u64,
}

/// One publication of a batch, with what the next leader needs to go on from it.
#[derive(Clone, Debug)]
pub struct BatchItem {
    /// The publication.
    pub publication: Publication,
    /// The state of its endpoint.
    pub state: PollState,
}
