//! Alerting: rules, the state of each alert, and what each receiver is yet to be told.
//!
//! [`finding`] evaluates the rules of [`rule`] on a report, [`state`] moves each alert on by the findings, and [`group`]
//! composes messages from what holds and what receivers know, and [`digest`] one a day of what no message is worth.
//! [`traffic`] remembers what users moved lately, for rules that ask. All of these are pure, and [`engine`] combines them.
//! [`promql`] has the rules for Prometheus.

pub mod config;
pub mod rule;

pub mod traffic;

pub mod finding;

pub mod state;

pub mod digest;
pub mod group;
pub mod statement;

pub mod engine;

pub mod promql;

#[cfg(test)]
pub(crate) mod testing;
mod words;

pub use self::words::Pseudonym;
