//! How a dead man's switch is pinged.

use std::time::Duration;

use crate::{http::options::TlsOptions, secret::Secret};

/// `[heartbeat]`: one URL to ask for as long as all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Whole URL, http or https, whose path is the secret of most such services.
    pub url: Secret,
    pub method: HeartbeatMethod,
    /// From one ping to the next; at least 5 s.
    pub interval: Duration,
    /// For the whole exchange.
    pub timeout: Duration,
    /// How long a receiver of notices may go untold before there are no more pings.
    pub delivery_patience: Duration,
    /// `http://`, `socks5://` or `socks5h://` proxy, perhaps with a user name and password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatMethod {
    Get,
    Post,
}
