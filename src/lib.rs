//! proxymeter: a Prometheus exporter and alerting daemon for proxy panels.
//!
//! In reading order:
//!
//! - [`model`] is what is known of a target, and [`upstream`] asks a system and converts its answers to it.
//! - [`poll`] decides when to ask, and puts the result on the [`board`].
//! - [`exposition`] writes what is on the board as text, [`telemetry`] counts what the daemon itself does, and [`server`]
//!   hands both to Prometheus and to people.
//! - [`alert`] evaluates the rules, [`notify`] sends notices, and [`dispatch`] has each receiver told what the alerts say.
//! - [`store`] keeps what outlives the process.
//! - [`http`], [`mod@file`], [`clock`] and [`secret`] are what all of them use.
//! - [`config`] is what to watch, [`daemon`] builds all of this and runs it, and [`cli`] is what people type.
//! - [`simulator`] has systems that are not real, and [`demo`] runs a daemon on them.
//!
//! `ARCHITECTURE.md` says which room may import which.

pub mod model;

pub mod clock;
pub mod file;
pub mod http;
pub mod secret;
pub mod wording;

pub mod board;
pub mod exposition;
pub mod store;
pub mod telemetry;
pub mod upstream;

pub mod alert;
pub mod notify;
pub mod poll;
pub mod server;

pub mod config;
pub mod dispatch;

pub mod daemon;
pub mod demo;

pub mod cli;

pub mod simulator;
