//! The elector on a paused clock over the embedded store: every transition, and every error at
//! every step.

mod cluster;
mod crashes;
pub(crate) mod faulty;
mod ground;
mod leading;
mod matrix;
mod replaced_store;
mod shutdown;
mod standby;
mod step_down;
