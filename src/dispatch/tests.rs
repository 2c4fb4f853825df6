//! What receivers get, in paused time: days take no time.

mod attempts;
mod bench;
mod digests;
mod fallback;
mod perhaps;
mod rates;
mod reloads;
mod restarts;
mod rounds;
mod silences;
mod sizes;
mod statements;
mod walk;
mod week;
