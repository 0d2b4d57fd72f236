//! Pollux polls HTTP endpoints once, for everybody.
//!
//! Replicas compete for one lease in Redis. The holder polls, detects changes and publishes; the
//! others stand by and take over. Gateways hold the newest snapshots in memory and serve them to
//! any number of clients. Data flows one way, and the modules say so:
//!
//! [`config`] → [`poller`] (schedule → fetch → change → publish) → [`store`] → [`hub`] →
//! [`gateway`]
//!
//! [`election`] decides who polls, [`admin`] shows what goes on, and [`app`] alone puts the parts
//! together.

pub mod admin;
pub mod app;
pub mod backoff;
pub mod clock;
pub mod command;
pub mod config;
pub mod demo;
pub mod election;
pub mod gateway;
pub mod http;
pub mod hub;
pub mod model;
pub mod poller;
mod preflight;
mod presence;
pub mod reload;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
mod tls;
