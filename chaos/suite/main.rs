//! Real clusters under faults, and whether they keep their promises: `chaos/run`.

#![allow(clippy::expect_used, reason = "a harness that cannot go on may as well stop")]

mod address;
mod checker;
mod history;
mod report;
mod run;

fn main() {}
