//! Mail: a notice as one message, sent to its recipients through one SMTP server.

pub mod config;
mod dialogue;
mod hello;
mod message;
mod session;
mod verdict;

use std::{fmt, sync::Arc};

use lettre::{Address, message::Mailbox};
use rustls::pki_types::ServerName;

use self::{
    config::{EmailConfig, SmtpTls},
    hello::{default_name, host_name},
    message::Letterhead,
    session::{Delivery, Security, Server, Tls},
    verdict::{contents_refused, has_accepted, hint, is_settled, judge, last_answer, note, verdict},
};
use super::{Retry, SendError, SendReason, compose::composed, said::Secrets};
use crate::{
    http::{self, options::is_loopback},
    model::Notice,
    wording::Voice,
};

/// Sends mail to its addresses through one SMTP server. Each attempt opens one connection.
pub struct Email {
    server: Server,
    letterhead: Arc<Letterhead>,
    secrets: Secrets,
    /// What the server said last, without our secrets.
    said: Option<String>,
}

/// Why a mail receiver cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("`{0}` is not an address; write it as \"ops@example.com\" or \"Name <ops@example.com>\"")]
    Address(&'static str),
    #[error(
        "`{0}` has letters beyond ASCII in an address; write its domain in the form that begins with xn--"
    )]
    NotAscii(&'static str),
    #[error("`to` is empty; name at least one address")]
    NoRecipients,
    #[error("`hello` is not a host name")]
    Hello,
    #[error("`host` is not a host name or an address")]
    Host,
    #[error(
        "without TLS, mail is only sent to this machine; set `tls` or `allow_cleartext`, or let `host` be 127.0.0.1, \
         ::1 or localhost"
    )]
    Plain,
    #[error("without TLS, the login would cross the network unencrypted")]
    PlainLogin,
    #[error(transparent)]
    Tls(#[from] http::BuildError),
}

impl Email {
    /// # Errors
    /// When addresses, host or certificates of `config` cannot be used. Nothing is connected yet.
    pub fn new(config: &EmailConfig, voice: Voice) -> Result<Self, BuildError> {
        let mut to: Vec<Mailbox> = Vec::new();
        for text in &config.to {
            let mailbox = mailbox("to", text)?;
            if to.iter().all(|other| other.email != mailbox.email) {
                to.push(mailbox);
            }
        }
        if to.is_empty() {
            return Err(BuildError::NoRecipients);
        }
        if config
            .hello
            .as_ref()
            .is_some_and(|name| name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()))
        {
            return Err(BuildError::Hello);
        }
        let security = match config.tls {
            SmtpTls::None if is_loopback(&config.host) => Security::Loopback,
            SmtpTls::None if !config.allow_cleartext => return Err(BuildError::Plain),
            SmtpTls::None if config.login.is_some() => return Err(BuildError::PlainLogin),
            SmtpTls::None => Security::Cleartext,
            SmtpTls::StartTls => Security::StartTls(tls(config)?),
            SmtpTls::Implicit => Security::Implicit(tls(config)?),
        };
        let from = mailbox("from", &config.from)?;
        let hello = config.hello.clone();
        let server = Server {
            host: config.host.clone(),
            port: config.port,
            security,
            login: config.login.clone(),
            hello: hello.unwrap_or_else(|| default_name(&host_name(), from.email.domain())),
            limit: config.timeout,
        };
        let secrets = config.login.as_ref().map_or_else(Secrets::default, Secrets::of_login);
        Ok(Email { server, letterhead: Arc::new(Letterhead { from, to, voice }), secrets, said: None })
    }

    /// See [`Receiver::place`](super::Receiver::place).
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.server.host, self.server.port)
    }

    /// See [`Receiver::said`](super::Receiver::said).
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    /// The mail about `notice`.
    ///
    /// # Errors
    /// If it cannot be written; the text is for logs.
    pub fn mail(&self, notice: &Notice) -> Result<Vec<u8>, String> {
        Ok(self.letterhead.write(notice)?.full.unwrap_or_default())
    }

    /// Makes one attempt at all recipients that are not settled yet. While it waits for the server, it holds the mail
    /// and not the notice.
    ///
    /// `done` holds the addresses that accepted the notice and those that refused it for good, which are not tried
    /// again. When no recipient is left to try, the notice counts as delivered if any accepted it.
    ///
    /// # Errors
    /// As long as any recipient must be retried.
    pub(super) async fn send(
        &mut self,
        notice: Arc<Notice>,
        done: &mut Vec<String>,
    ) -> Result<String, SendError> {
        let place = self.server.place();
        self.said = None;
        let to = self.letterhead.to(&notice).map_err(|why| SendError {
            reason: SendReason::ClientError,
            detail: format!("{place}: {why}"),
            retry: Retry::Never,
        })?;
        let everyone = to.into_iter().map(|mailbox| mailbox.email);
        let open: Vec<Address> = everyone.filter(|address| !is_settled(done, address)).collect();
        let mut delivery = Delivery { reachable: has_accepted(done), ..Delivery::default() };
        if !open.is_empty() {
            let letterhead = Arc::clone(&self.letterhead);
            let mut letter = composed(&place, move || letterhead.write(&notice)).await?;
            if contents_refused(done).is_some() {
                letter.full = None;
            }
            let from = &self.letterhead.from.email;
            let outcome = self.server.deliver(from, open, &letter, &mut delivery).await;
            self.said = last_answer(&outcome, &delivery).and_then(|text| self.secrets.first_line(&text));
            let hint = hint(&self.server, &outcome, &delivery);
            note(done, &mut delivery);
            let told = match outcome {
                Ok(()) => verdict(&place, &delivery, done),
                Err(failure) => Err(judge(&place, &failure, letter.named)),
            };
            return told.map_err(|err| SendError { detail: err.detail + &hint, ..err });
        }
        verdict(&place, &delivery, done)
    }
}

/// Shows the server, and nothing of the login or the recipients.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.server.place())
    }
}

fn mailbox(key: &'static str, text: &str) -> Result<Mailbox, BuildError> {
    let wrong = BuildError::Address(key);
    if text.chars().any(char::is_control) {
        return Err(wrong);
    }
    // lettre's own parser of a mailbox stops early and ignores the rest.
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text.trim()),
    };
    if !address.is_ascii() {
        return Err(BuildError::NotAscii(key));
    }
    let Ok(address) = address.parse::<Address>() else { return Err(wrong) };
    let mailbox = Mailbox::new(Some(name.to_owned()).filter(|name| !name.is_empty()), address);
    // lettre parses its own headers for each mail, and cannot parse all that it writes.
    if mailbox.to_string().parse::<Mailbox>().is_err() {
        return Err(wrong);
    }
    Ok(mailbox)
}

fn tls(config: &EmailConfig) -> Result<Tls, BuildError> {
    let host = || ServerName::try_from(config.host.clone()).map_err(|_| BuildError::Host);
    let name = config.certificates.server_name.clone().map_or_else(host, Ok)?;
    Ok(Tls { config: Arc::new(http::tls_config(&config.certificates)?), name })
}

/// How many bytes a mail has.
#[cfg(test)]
pub(super) fn size(notice: &Notice, voice: &Voice) -> usize {
    let mailbox: lettre::message::Mailbox = "ops@example.com".parse().unwrap();
    let letterhead = message::Letterhead { from: mailbox.clone(), to: vec![mailbox], voice: voice.clone() };
    letterhead.write(notice).unwrap().full.unwrap().len()
}
