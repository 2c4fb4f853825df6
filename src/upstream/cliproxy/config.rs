//! The configuration of a CLIProxyAPI target.

use std::sync::Arc;

use jiff::tz::TimeZone;

use super::prices::Prices;
use crate::{http::options::Endpoint, secret::Secret};

/// One CLIProxyAPI server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliproxyConfig {
    pub endpoint: Endpoint,
    /// The management key; never empty.
    pub key: Secret,
    pub usage: UsageSetting,
    /// Names for client keys: the key, or its keyed hash as a label shows it, and the name.
    pub key_aliases: Vec<(Secret, String)>,
    /// Names for credentials, by the label that they have without one.
    pub credential_aliases: Vec<(String, String)>,
    pub caps: Caps,
    pub prices: Arc<Prices>,
    /// Of days and months of budgets.
    pub zone: TimeZone,
}

impl CliproxyConfig {
    /// Whether `other` differs in nothing but prices and the time zone, which a client can change while it runs.
    pub fn differs_in_costs_alone(&self, other: &CliproxyConfig) -> bool {
        let CliproxyConfig { prices, zone, .. } = other;
        *other == CliproxyConfig { prices: Arc::clone(prices), zone: zone.clone(), ..self.clone() }
    }
}

/// How usage is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSetting {
    /// The server's totals if it has them, else nothing: records are never taken from the queue.
    #[default]
    Auto,
    Snapshot,
    /// Records are taken from the queue. No other reader may take them too.
    Queue,
    Off,
}

/// The most client keys and models that have series of their own. The first that are seen keep their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub api_keys: usize,
    pub models: usize,
}

impl Default for Caps {
    fn default() -> Self {
        Caps { api_keys: 200, models: 100 }
    }
}

/// Whether a text is a keyed hash, as labels show them.
pub fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(super) fn test_config() -> CliproxyConfig {
    use crate::http::options::PanelUrl;

    CliproxyConfig {
        endpoint: PanelUrl::parse("http://127.0.0.1:8317").unwrap().into(),
        key: "management".into(),
        usage: UsageSetting::Auto,
        key_aliases: Vec::new(),
        credential_aliases: Vec::new(),
        caps: Caps::default(),
        prices: Arc::default(),
        zone: TimeZone::UTC,
    }
}
