//! The configuration of an Alertmanager receiver.

use std::time::Duration;

use crate::{
    http::options::TlsOptions,
    notify::{email::config::ReceiverConfig, webhook::config::Authorization},
    secret::Secret,
};

/// `[alertmanager.NAME]`: the replicas of one Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlertmanagerConfig {
    /// The address of each replica, http or https, each once, without a slash at its end. The path may be a secret.
    pub urls: Vec<Secret>,
    /// The time from one post of all firing alerts to the next.
    pub resend: Duration,
    pub authorization: Option<Authorization>,
    /// Names in lower case, each once, and none that this module sets itself; the values are valid in a header.
    pub headers: Vec<(String, Secret)>,
    /// `http://`, `socks5://` or `socks5h://` proxy, perhaps with a user name and password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
    /// Time limit of one post.
    pub timeout: Duration,
    /// Only `min_severity` is configurable: Alertmanager does the rest.
    pub common: ReceiverConfig,
}
