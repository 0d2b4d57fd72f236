//! Polls endpoints: what is due, what came back, whether it differs, and its publication.
//!
//! All of it happens inside one leadership: [`Poller`] performs the duties that an
//! [`Elector`](crate::election::Elector) gives it. [`Reachability`] alone is of use to standbys too:
//! it polls nothing, and tells who could.

mod answer;
mod breaker;
mod catch_up;
mod change;
mod client;
mod credentials;
mod duties;
mod excerpt;
mod exchange;
mod failure;
mod fetch;
mod journal;
mod outbox;
mod plan;
mod polling;
mod publisher;
mod reachability;
mod redirect;
mod replanning;
mod retry_after;
mod schedule;
#[cfg(test)]
mod tests;
mod trace;
mod tracked;

pub use catch_up::{Overdue, catch_up};
pub use change::content_hash;
pub use duties::{Fetch, Poller};
pub use failure::{PollFailure, PollFailureKind};
pub use fetch::{Fetched, Fetcher, FetcherError, Validators};
pub use journal::{Journal, PollReport, PolledEndpoint};
pub use plan::Plan;
pub use publisher::BEAT;
pub use reachability::Reachability;
pub use schedule::{Due, Schedule};
