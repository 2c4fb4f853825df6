//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.

pub mod config;
pub mod http;
pub mod poll;
pub mod secret;
pub mod simulator;
pub mod upstream;
