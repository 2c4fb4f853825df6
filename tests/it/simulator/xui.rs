//! The simulated panels of the x-ui family against what real ones were recorded to answer, and against their own
//! promises.

mod house;
mod login;
mod quirks;
mod recorded;
mod verbs;
