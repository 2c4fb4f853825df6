//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.

pub mod board;
pub mod clock;
pub mod config;
pub mod http;
pub mod model;
pub mod poll;
pub mod secret;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod upstream;
