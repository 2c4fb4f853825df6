//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.

pub mod board;
pub mod clock;
pub mod exposition;
pub mod model;
pub mod secret;
pub mod server;
pub mod simulator;
pub mod telemetry;
