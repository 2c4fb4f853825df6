//! The client of CLIProxyAPI through its public face: what it counts of recorded answers of every version, how it takes
//! records from a queue, and how it treats a server that bans an address that sends wrong keys.

mod bypass;
mod canary;
mod cost;
mod kills;
mod pages;
mod queue;
mod recorded;
mod refusals;
mod scale;
mod stops;
mod stream;
mod totals;
