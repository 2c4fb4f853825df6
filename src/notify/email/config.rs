//! The configuration of a mail receiver.

use std::time::Duration;

use crate::{http::options::TlsOptions, model::Severity, secret::Secret, wording::Language};

/// `[email.NAME]`: one SMTP server and its recipients.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmailConfig {
    /// Host name or address of the server, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// Whether mails without TLS may leave this machine. Then there is no login.
    pub allow_cleartext: bool,
    /// Without effect for [`SmtpTls::None`].
    pub certificates: TlsOptions,
    /// `Name <address>` or an address; parses as `lettre::message::Mailbox`.
    pub from: String,
    /// At least one, each address once, written like `from`.
    pub to: Vec<String>,
    pub login: Option<SmtpLogin>,
    /// Name for the greeting; absent: the machine's full name, or else the domain of `from`.
    pub hello: Option<String>,
    /// Time limit of each step: connecting, greeting, each command, the final answer.
    pub timeout: Duration,
    pub common: ReceiverConfig,
}

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpTls {
    /// Plain until STARTTLS, which must succeed.
    StartTls,
    Implicit,
    /// Only to loopback, unless `allow_cleartext` says more.
    None,
}

/// How to log in to the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SmtpLogin {
    pub username: String,
    pub password: Secret,
    pub mechanism: SmtpMechanism,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpMechanism {
    /// The best that the server offers of PLAIN and LOGIN.
    Auto,
    Plain,
    Login,
    /// The password is an OAuth 2 access token.
    Xoauth2,
}

/// The settings that every kind of receiver has. Absent: as in `[alerting]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReceiverConfig {
    /// Only alerts of at least this severity.
    pub min_severity: Severity,
    pub send_resolved: bool,
    pub language: Option<Language>,
    pub group_by: Option<Vec<String>>,
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub repeat_interval: Option<Duration>,
    /// Absent: there is no digest, and `info` steps of users are sent as they come.
    pub digest: Option<DigestConfig>,
}

/// When a receiver gets its daily digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DigestConfig {
    /// Local time, in minutes of the day.
    pub at: u16,
    /// IANA name; absent: the zone of `[alerting]`.
    pub zone: Option<String>,
    /// Whether a day with nothing to say gets a digest, too.
    pub empty: bool,
    /// The most users of each target that are listed by their traffic.
    pub top: usize,
}

impl Default for ReceiverConfig {
    fn default() -> Self {
        Self {
            min_severity: Severity::Info,
            send_resolved: true,
            language: None,
            group_by: None,
            group_wait: None,
            group_interval: None,
            repeat_interval: None,
            digest: None,
        }
    }
}
