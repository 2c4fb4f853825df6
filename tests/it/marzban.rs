//! The Marzban client through its public face: what it makes of recorded answers, of a panel that misbehaves in every
//! way we could think of, and of certificates; and that it keeps secrets to itself.

mod addresses;
mod canary;
mod durable;
mod hostile;
mod pasarguard;
mod pasarguard_recorded;
mod recorded;
mod refusals;
mod sums;
mod tls;
mod users;
