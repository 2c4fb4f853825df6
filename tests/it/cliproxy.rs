//! The client of CLIProxyAPI through its public face: what it counts of recorded answers of every version, how it takes
//! records from a queue, and how it treats a server that bans whoever sends a wrong key.

mod canary;
mod queue;
mod recorded;
mod refusals;
mod totals;
