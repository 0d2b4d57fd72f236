//! What the servers for clients and for operators have in common.

mod problem;
mod serve;

pub(crate) use problem::{Problem, method_not_allowed};
pub(crate) use serve::Peer;
pub use serve::{BindError, bind, serve};
