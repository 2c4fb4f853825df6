//! Simulated systems: HTTP servers with state and verbs that answer in the recorded shapes of the real ones.
//!
//! The `demo` command, the integration tests and the benches poll them. A system has a folder with its state, its
//! verbs and its routes; [`http`] serves them all. Nothing here imports the rest of proxymeter, because what a system
//! answers must not depend on what its client expects.

pub mod cliproxy;
pub mod front;
pub mod http;
pub mod inbox;
pub mod marzban;
pub mod xui;

/// Of so many, by chance: mostly few, as people use little of what they may.
fn few(chance: u64, of: u64) -> u64 {
    chance * chance / of * chance / of
}
