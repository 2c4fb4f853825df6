//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.
//!
//! In reading order: [`model`] is what is known of a target, and [`upstream`] asks a panel and converts its answers
//! to it. [`poll`] decides when to ask and puts the result on the [`board`]. [`exposition`] writes what is on the
//! board as text, and [`server`] hands it to Prometheus. [`config`] says what to watch, [`daemon`] builds all of
//! this and runs it, and [`cli`] is what people type. [`simulator`] stands in for panels.

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
