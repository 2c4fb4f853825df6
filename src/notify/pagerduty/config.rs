//! The configuration of PagerDuty.

use std::time::Duration;

use crate::{http::options::TlsOptions, notify::email::config::ReceiverConfig, secret::Secret};

/// `[pagerduty.NAME]`: one integration of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PagerdutyConfig {
    /// The integration key of Events API v2: 32 letters and digits.
    pub routing_key: Secret,
    /// Where events are sent.
    pub url: Secret,
    /// `http://`, `socks5://` or `socks5h://` proxy, perhaps with a user name and password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
    /// Time limit of the whole exchange.
    pub timeout: Duration,
    pub common: ReceiverConfig,
}
