//! Behaviours of every store, each written once and tested with both.

mod cluster;
mod crashes;
mod leases;
mod publishing;
mod reading;
mod terms;
