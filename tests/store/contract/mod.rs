//! Behaviours of every store, each written once and tested with both.

mod cluster;
mod leases;
mod publishing;
mod reading;
mod terms;
