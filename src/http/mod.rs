//! What the servers for clients and for operators have in common.

mod problem;
mod serve;

pub(crate) use problem::{Problem, method_not_allowed};
pub use serve::{BindError, bind, serve};
