//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.

pub mod http;
pub mod secret;
pub mod simulator;
