//! What is worth telling: rules, the state of each alert, and what goes together in one message.

pub mod config;
pub mod engine;
pub mod finding;
pub mod group;
pub mod rule;
pub mod state;
mod task;
#[cfg(test)]
mod testing;
mod time;
mod words;

pub use task::{Pseudonym, Task};
