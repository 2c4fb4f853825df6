//! The configuration of the heartbeat.

use std::time::Duration;

use crate::{http::options::TlsOptions, secret::Secret};

/// `[heartbeat]`: one URL to request as long as the daemon is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// Complete URL, http or https. With most such services, its path is the secret.
    pub url: Secret,
    pub method: HeartbeatMethod,
    /// Between two pings; at least 5 s.
    pub interval: Duration,
    /// A text that the answer must contain; absent: what the answer says is evaluated as far as it is known.
    pub success: Option<String>,
    /// Time limit of the whole exchange.
    pub timeout: Duration,
    /// How long a receiver may fail before the pings stop.
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
