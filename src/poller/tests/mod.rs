//! A poller that leads on the embedded store, with a backend that the test plays.

mod ground;
mod replanning;
mod resting;
