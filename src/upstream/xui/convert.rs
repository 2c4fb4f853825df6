//! The one conversion from the answers of the x-ui family to the model.

mod clients;
mod folded;
mod list;
mod nodes;
mod online;
mod outbounds;
mod status;
mod thresholds;

pub(super) use self::{
    clients::Plan,
    folded::{ByName, folded},
    list::{Known, List},
    nodes::{NodeLabels, nodes},
    online::{addresses, last_point, names, seen_since},
    outbounds::outbounds,
    status::{StatusFacts, status},
    thresholds::thresholds,
};
