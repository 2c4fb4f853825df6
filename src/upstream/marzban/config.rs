//! What a Marzban target needs to be told.

use crate::http::options::{PanelUrl, TlsOptions};
use crate::secret::Secret;

/// One Marzban or PasarGuard panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarzbanConfig {
    pub url: PanelUrl,
    pub login: Login,
    pub tls: TlsOptions,
    /// Users whose traffic per node is read, by one request each.
    pub node_traffic_of: Vec<String>,
}

/// How to prove to the panel who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// An admin's name and password, exchanged for a token.
    Password { username: String, password: Secret },
    /// A key of PasarGuard, which has them since 5.1. Marzban has none.
    ApiKey(Secret),
}

impl Login {
    /// Whether a token that is refused may be exchanged for a new one; an API key cannot.
    pub fn can_renew(&self) -> bool {
        matches!(self, Login::Password { .. })
    }
}
