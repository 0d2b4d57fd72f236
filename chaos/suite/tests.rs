//! The suite's own tests: those of what judges need no cluster, and run with all others.

#![allow(clippy::expect_used, reason = "a test that cannot go on may as well stop")]
#![allow(dead_code, reason = "who records is not here")]

mod address;
mod backend;
mod checker;
mod history;
mod publication;
mod readers;
mod recorder;
mod report;
mod run;
