//! Behaviours of every store, each written once and tested with both.

mod cluster;
mod crashes;
mod departures;
mod leases;
mod publishing;
mod reading;
mod terms;
