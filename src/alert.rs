//! What is worth telling: rules, the state of each alert, and what goes together in one message.

pub mod config;
