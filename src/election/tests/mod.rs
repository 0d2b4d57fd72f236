//! The elector on a paused clock over the embedded store: every transition, and every error at
//! every step.

mod cluster;
mod crashes;
mod faulty;
mod ground;
mod leading;
mod matrix;
mod replaced_store;
mod shutdown;
mod simulation;
mod standby;
mod step_down;
