//! Simulated panels: HTTP servers with state and verbs that answer in the recorded shapes of the real ones.
//!
//! The `demo` command, the integration tests and the benches poll them. They know nothing of the rest of
//! proxymeter: what a panel answers must not depend on what its client believes.

pub mod marzban;
