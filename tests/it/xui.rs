//! The client of the x-ui family through its public face: what it makes of recorded answers of every generation, how
//! rarely it logs in, what it says when something is wrong, and that it keeps secrets to itself.

mod canary;
mod certificate;
mod logins;
mod online;
mod pace;
mod quirks;
mod recorded;
mod refusals;
mod samples;
mod scale;
mod scopes;
mod simulated;
