//! The systems that are asked.

pub mod marzban;
