//! Marzban panels and their successor PasarGuard.

pub mod config;
