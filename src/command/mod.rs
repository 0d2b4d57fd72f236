//! The commands beside `run`, as functions.

pub mod check;
