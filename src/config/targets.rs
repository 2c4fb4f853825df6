//! The tables of targets, a file for each kind.

pub(super) mod cliproxy;
mod endpoint;
pub(super) mod marzban;
mod nodes;
pub(super) mod xui;
