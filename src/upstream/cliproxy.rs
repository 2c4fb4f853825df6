//! CLIProxyAPI: one door to many LLM accounts.

mod attempt;
pub mod config;
mod ledger;
pub mod prices;
