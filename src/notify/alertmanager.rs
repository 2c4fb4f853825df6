//! Alertmanager as a receiver: the alerts that are firing are posted to each of its replicas again and again, and those
//! that ended are posted as ended for a while. Grouping, repeats and mutes are Alertmanager's.

mod client;
pub mod config;
mod ends;
mod line;
mod post;
mod poster;
mod replica;
mod standing;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use self::{
    client::Alertmanager,
    poster::Poster,
    replica::AlertmanagerError,
    standing::{Ask, Standing},
};
