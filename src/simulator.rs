//! Simulated panels.
