//! The configuration of a webhook receiver.

use std::{fmt, time::Duration};

use minijinja::Environment;

use super::template::apart::{PATIENCE, apart};
use crate::{http::options::TlsOptions, notify::email::config::ReceiverConfig, secret::Secret};

/// `[webhook.NAME]`: one URL to post to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebhookConfig {
    /// Complete URL, http or https, which may contain a secret.
    pub url: Secret,
    pub format: WebhookFormat,
    /// Standard Webhooks secrets, `whsec_` and base64, or plain. The message is signed with each, for rotation, the
    /// current one first.
    pub secrets: Vec<Secret>,
    /// Adds `X-Hub-Signature-256`, signed with this secret.
    pub github_secret: Option<Secret>,
    pub authorization: Option<Authorization>,
    /// Names in lower case, each once, and none that this module sets itself; the values are valid in a header.
    pub headers: Vec<(String, Secret)>,
    /// `http://`, `socks5://` or `socks5h://` proxy, perhaps with a user name and password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
    /// A text that the answer must contain; absent: what the answer says is evaluated as far as it is known.
    pub success: Option<String>,
    /// Time limit of the whole exchange.
    pub timeout: Duration,
    /// The most alerts in one message; 0: all.
    pub max_alerts: usize,
    pub common: ReceiverConfig,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub enum WebhookFormat {
    /// Alertmanager's webhook body, version 4.
    Alertmanager,
    /// The output of this minijinja template, which is valid, sent with this content type.
    Template { template: String, content_type: String },
}

impl WebhookFormat {
    /// # Errors
    /// What is wrong with the syntax of a template, and in which line.
    pub fn check_syntax(template: &str) -> Result<(), String> {
        let template = template.to_owned();
        apart(PATIENCE, move || {
            let Err(error) = Environment::new().template_from_str(&template).map(drop) else { return Ok(()) };
            let line = error.line().unwrap_or(1);
            Err(format!("{}, in its line {line}", error.detail().unwrap_or("not understood")))
        })
    }
}

/// Written by hand because the template may contain a secret: some services want their key in the body.
impl fmt::Debug for WebhookFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WebhookFormat::Alertmanager => f.write_str("Alertmanager"),
            WebhookFormat::Template { content_type, .. } => {
                f.debug_struct("Template").field("content_type", content_type).finish_non_exhaustive()
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Authorization {
    Bearer(Secret),
    Basic { username: String, password: Secret },
}
