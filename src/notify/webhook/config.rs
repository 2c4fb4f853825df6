//! What a webhook receiver needs to be told.

use std::time::Duration;

use crate::{http::options::TlsOptions, notify::email::config::ReceiverConfig, secret::Secret};

/// `[webhook.NAME]`: one URL to post to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Whole URL, http or https, which may itself hold a secret.
    pub url: Secret,
    pub format: WebhookFormat,
    /// Standard Webhooks secrets, `whsec_…` or plain; the message is signed with each, for rotation.
    pub secrets: Vec<Secret>,
    /// Adds `X-Hub-Signature-256` under this secret.
    pub github_secret: Option<Secret>,
    pub authorization: Option<Authorization>,
    pub headers: Vec<(String, Secret)>,
    /// `http://`, `socks5://` or `socks5h://` proxy, whose URL may hold a password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
    /// For the whole exchange.
    pub timeout: Duration,
    /// Alerts in one message; 0: all.
    pub max_alerts: usize,
    pub common: ReceiverConfig,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Alertmanager's webhook body, version 4.
    Alertmanager,
    /// What this minijinja template renders, sent with this content type.
    Template { template: String, content_type: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}
