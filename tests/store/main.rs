//! What `store::Store` promises, of both implementations, and what Redis alone does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy takes helpers of integration tests for other code"
)]

#[path = "../common/mod.rs"]
mod common;

mod contract;
mod embedded;
mod redis;
mod setup;
