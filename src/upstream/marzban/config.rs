//! The configuration of a Marzban target.

use std::collections::BTreeMap;

use crate::http::options::Endpoint;
use crate::model::NodeAllowances;
use crate::secret::Secret;

/// One Marzban or PasarGuard panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarzbanConfig {
    pub endpoint: Endpoint,
    pub login: Login,
    /// Users whose traffic per node is read, with one request each.
    pub node_traffic_of: Vec<String>,
    /// Bytes that the users of an admin may use, by the admin's name. Each above zero.
    pub admin_limits: BTreeMap<String, u64>,
    /// PasarGuard: from how many addresses a user may be connected whose row names no limit (`hwid_limit`); absent: addresses
    /// are not read. Above zero. Each connected user costs one request.
    pub device_limit: Option<u64>,
    /// What nodes may move in a month.
    pub allowances: NodeAllowances,
}

/// How to log in to the panel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// An admin's name and password, exchanged for a token.
    Password { username: String, password: Secret },
    /// An API key of PasarGuard, since 5.1. Marzban has none.
    ApiKey(Secret),
}

impl Login {
    /// Whether a refused token can be replaced by a new one; an API key cannot.
    pub fn can_renew(&self) -> bool {
        matches!(self, Login::Password { .. })
    }
}
