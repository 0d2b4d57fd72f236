//! The configuration: read whole, checked once, and then a type of its own.

mod types;

pub use types::{
    AdminConfig, Config, EndpointConfig, Expectation, GatewayConfig, LeaseConfig, RedisConfig,
    Secret,
};
