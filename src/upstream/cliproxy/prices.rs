//! What tokens cost by list prices.

/// Prices by model. Empty: no model has a price.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {}
