//! Polls endpoints: what is due, what came back, and whether it differs.

mod change;
mod client;
mod excerpt;
mod failure;
mod fetch;
mod schedule;

pub use change::content_hash;
pub use failure::{PollFailure, PollFailureKind};
pub use fetch::{Fetched, Fetcher, FetcherError, Validators};
pub use schedule::{Due, Overdue, Schedule, catch_up, steady_rate};
