//! The one conversion from the answers of the x-ui family to the model.

mod clients;
mod list;
mod nodes;
mod online;
mod outbounds;
mod status;

pub(super) use self::{
    list::{Known, List},
    nodes::nodes,
    online::{addresses, last_point, names, seen_since},
    outbounds::outbounds,
    status::{StatusFacts, status},
};

/// A name of a client as the panels compare it: without regard to case.
pub(super) fn folded(name: String) -> String {
    if name.chars().any(char::is_uppercase) { name.to_lowercase() } else { name }
}
