//! Who polls: the replica that holds the lease.
//!
//! [`Elector`] stands by until the lease is free, takes it, claims a term, and lets its
//! [`Duties`] be performed for as long as renewals succeed. It alone makes a [`Leadership`], and a
//! [`Leadership`] is what polling and publishing ask for.

mod abdication;
mod channels;
mod elector;
mod keeper;
mod leadership;
mod liveness;
mod probe;
mod standby;
mod view;

#[cfg(test)]
pub(crate) mod tests;

pub use abdication::{Abdication, Behind};
pub use elector::{Duties, Elector, Identity};
pub use leadership::{Leadership, Refutation};
pub use view::{Memory, View};
