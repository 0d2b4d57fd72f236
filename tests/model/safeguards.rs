//! What keeps the guarantees, each of which can be taken out.

/// One part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safeguard {
    /// The record must be exactly this leadership's; without it, its term must not be higher.
    ExactRecord,
    /// The record must be at the sequence that this leadership left it at.
    Sequence,
    /// A term is at least the server's time.
    Time,
    /// A renewal and a publication compare the run id of their connection with the claim's.
    RunId,
    /// A claim exceeds the highest term that the replica has seen.
    HighestSeen,
    /// A repeated claim gets the same term again only if the replica has seen none as high.
    SpentTerm,
    /// A snapshot older than the first term of the run id is published again.
    Base,
    /// Gateways take, and streams send, only what is newer than what they hold and sent.
    VersionFilter,
    /// Two answers that are 50 ms apart precede a reap.
    Confirmation,
    /// The reap asks once more whether the liveness channel is subscribed to.
    LastQuestion,
    /// The reap compares the lease and the record with what the first probe saw.
    ReapCompares,
    /// A stream's cursor starts at what the client says it has.
    Resumption,
    /// A beat that comes after its date is not passed on.
    DatedBeats,
}

/// The safeguards in force.
#[derive(Clone, Copy, Debug)]
pub struct Safeguards(u16);

impl Safeguards {
    /// All of them.
    pub const ALL: Self = Self(u16::MAX);

    /// Without one of them.
    pub const fn without(self, safeguard: Safeguard) -> Self {
        Self(self.0 & !(1 << safeguard as u16))
    }

    /// Whether one is in force.
    pub const fn has(self, safeguard: Safeguard) -> bool {
        self.0 & (1 << safeguard as u16) != 0
    }
}
