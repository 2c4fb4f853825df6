//! The simulated CLIProxyAPI against what real servers were recorded to answer, and against its own promises.

mod bans;
mod house;
mod recorded;
mod replayed;
mod totals;
mod verbs;
