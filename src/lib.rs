//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.

pub mod model;

pub mod clock;
pub mod http;
pub mod secret;

pub mod board;
pub mod exposition;
pub mod store;
pub mod telemetry;
pub mod upstream;

pub mod poll;
pub mod server;

pub mod config;

pub mod daemon;
pub mod demo;

pub mod cli;

pub mod simulator;
