//! When to ask a target.

pub mod config;
