//! The one way to build an HTTP client.

pub mod options;
