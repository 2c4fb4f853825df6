//! The configuration of an x-ui target.

use std::time::Duration;

use crate::http::options::Endpoint;
use crate::secret::Secret;

pub use super::totp::TotpSecret;

/// One panel of the x-ui family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XuiConfig {
    pub endpoint: Endpoint,
    pub login: Login,
    /// How long a panel takes until it has a sample of its host: after its start, and panels up to 2.8.0 after three minutes
    /// without a request. Always [`SAMPLE_WAIT`], but in tests.
    pub sample_wait: Duration,
}

/// Panels sample their host every two seconds.
pub const SAMPLE_WAIT: Duration = Duration::from_secs(3);

impl XuiConfig {
    pub fn new(endpoint: Endpoint, login: Login) -> Self {
        XuiConfig { endpoint, login, sample_wait: SAMPLE_WAIT }
    }
}

/// How to log in to the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// An API token of 3x-ui, since 3.0.
    Token(Secret),
    /// The client certificate of the TLS options, which 3x-ui takes like a token of the scope `node-sync`, since 3.4.
    Certificate,
    Password(Password),
}

/// A name and a password, exchanged for a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    pub username: String,
    pub password: Secret,
    /// For the six digits of two-factor authentication (3x-ui since 2.6).
    pub totp: Option<TotpSecret>,
    /// The second, static password of 3x-ui 1.2.7 to 2.5.8.
    pub login_secret: Option<Secret>,
}
