//! Mail: a notice as one message, sent to its recipients through one SMTP server.

pub mod config;
mod dialogue;
mod message;
mod session;

use std::{fmt, net::IpAddr, sync::Arc};

use lettre::{Address, message::Mailbox};
use rustls::pki_types::ServerName;
use tracing::warn;

use self::{
    config::{EmailConfig, SmtpTls},
    dialogue::{Failure, Reply, Step, Why},
    message::Letterhead,
    session::{Delivery, Security, Server, Tls},
};
use super::{Retry, SendError, SendReason};
use crate::{
    http::{self, options::TlsOptions},
    model::Notice,
};

/// Marks an address in `done` that refused the notice for good: `refused 550 5.1.1: ann@example.com`.
const REFUSED: &str = "refused ";
/// Marks in `done` that the server refused the full contents, before the server's codes. Only the minimal contents are
/// sent from then on.
const CONTENTS_REFUSED: &str = "contents refused ";
/// The most recipients that an error names.
const NAMED: usize = 5;

/// Sends mail to its addresses through one SMTP server. Each attempt opens one connection.
pub struct Email {
    server: Server,
    letterhead: Letterhead,
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
        "without TLS, mail is only sent to this machine; set `tls`, or let `host` be 127.0.0.1, ::1 or localhost"
    )]
    Plain,
    #[error(transparent)]
    Tls(#[from] http::BuildError),
}

impl Email {
    /// # Errors
    /// When addresses, host or certificates of `config` cannot be used. Nothing is connected yet.
    pub fn new(config: &EmailConfig) -> Result<Self, BuildError> {
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
            SmtpTls::None if is_loopback(&config.host) => Security::Plain,
            SmtpTls::None => return Err(BuildError::Plain),
            SmtpTls::StartTls => Security::StartTls(tls(config)?),
            SmtpTls::Implicit => Security::Implicit(tls(config)?),
        };
        let server = Server {
            host: config.host.clone(),
            port: config.port,
            security,
            login: config.login.clone(),
            hello: config.hello.clone(),
            limit: config.timeout,
        };
        Ok(Email { server, letterhead: Letterhead { from: mailbox("from", &config.from)?, to } })
    }

    /// Makes one attempt at all recipients that are not settled yet.
    ///
    /// `done` holds the addresses that accepted the notice and those that refused it for good, which are not tried
    /// again. When no recipient is left to try, the notice counts as delivered if any accepted it.
    ///
    /// # Errors
    /// As long as any recipient must be retried, and for good when all have refused it.
    pub(super) async fn send(&self, notice: &Notice, done: &mut Vec<String>) -> Result<String, SendError> {
        let place = self.server.place();
        let mut letter = self.letterhead.write(notice).map_err(|detail| SendError {
            reason: SendReason::ClientError,
            detail,
            retry: Retry::Never,
        })?;
        let everyone = self.letterhead.to.iter().map(|mailbox| &mailbox.email);
        let open: Vec<Address> = everyone.filter(|address| !is_settled(done, address)).cloned().collect();
        if open.is_empty() {
            return verdict(&place, &Delivery::default(), done);
        }

        if contents_refused(done).is_some() {
            letter.full = None;
        }
        let mut delivery = Delivery::default();
        let outcome = self.server.deliver(&self.letterhead.from.email, &open, &letter, &mut delivery).await;
        done.extend(delivery.contents_refused.iter().map(|reply| format!("{CONTENTS_REFUSED}{reply}")));
        done.extend(delivery.accepted.iter().map(Address::to_string));
        done.extend(delivery.refused.iter().map(|(address, reply)| format!("{REFUSED}{reply}: {address}")));
        outcome.map_err(|failure| judge(&place, &failure))?;
        verdict(&place, &delivery, done)
    }
}

/// Shows the server, and nothing of the login or the recipients.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.server.place())
    }
}

fn is_settled(done: &[String], address: &Address) -> bool {
    let address: &str = address.as_ref();
    done.iter().any(|entry| refusal(entry).map_or(entry.as_str(), |(_, refused)| refused) == address)
}

/// The server's codes and the address, if this entry of `done` is a refusal.
fn refusal(entry: &str) -> Option<(&str, &str)> {
    entry.strip_prefix(REFUSED)?.split_once(": ")
}

/// The server's codes for the contents, if it refused them.
fn contents_refused(done: &[String]) -> Option<&str> {
    done.iter().find_map(|entry| entry.strip_prefix(CONTENTS_REFUSED))
}

/// The outcome of an attempt when the dialogue ended normally.
fn verdict(place: &str, delivery: &Delivery, done: &[String]) -> Result<String, SendError> {
    let refused: Vec<String> = done
        .iter()
        .filter_map(|entry| refusal(entry))
        .map(|(codes, address)| format!("{} answered {codes}", redacted(address)))
        .collect();
    let deferred: Vec<String> = delivery
        .deferred
        .iter()
        .map(|(address, reply)| format!("{} answered {reply}", redacted(address.as_ref())))
        .collect();
    let took = |entry: &&String| !entry.starts_with(REFUSED) && !entry.starts_with(CONTENTS_REFUSED);
    let accepted = done.iter().filter(took).count();
    let shortened = contents_refused(done)
        .map(|codes| format!("; in few words, as the whole message was refused with {codes}"))
        .unwrap_or_default();
    let detail = || {
        let mut detail =
            format!("{place}: accepted for {accepted} of {}", accepted + deferred.len() + refused.len());
        for (what, recipients) in [("put off", &deferred), ("refused", &refused)] {
            if !recipients.is_empty() {
                let named = recipients.get(..NAMED).unwrap_or(recipients).join(", ");
                detail += &format!("; {what} for {}: {named}", recipients.len());
            }
        }
        detail + &shortened
    };
    if !deferred.is_empty() {
        return Err(SendError { reason: SendReason::ServerError, detail: detail(), retry: Retry::Later });
    }
    if accepted == 0 {
        return Err(SendError { reason: SendReason::Refused, detail: detail(), retry: Retry::Never });
    }
    if !refused.is_empty() {
        let detail = detail();
        warn!(refused = refused.len(), "some recipients were refused: {detail}");
        return Ok(detail);
    }
    let answer = delivery.answer.as_ref().map(said).unwrap_or_default();
    Ok(format!("{place}: accepted for {accepted}: {answer}{shortened}"))
}

/// The server's answer to a whole message. It often contains the message's id in the server's log.
fn said(reply: &Reply) -> String {
    let words = reply.lines().flat_map(str::split_whitespace);
    let told: Vec<_> = words.filter(|word| !word.contains('@')).collect();
    let told = told.join(" ").chars().filter(|c| !c.is_control()).take(100).collect::<String>();
    format!("{} {told}", reply.code)
}

/// `…@example.com`: more people read logs than should see addresses.
fn redacted(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, domain)) => format!("…@{domain}"),
        None => "…".to_owned(),
    }
}

/// The outcome of an attempt when the dialogue ended early (RFC 5321, 4.2 and 4.5.4).
fn judge(place: &str, failure: &Failure) -> SendError {
    let (reason, retry) = match (&failure.why, failure.step) {
        (Why::Timeout(_), _) => (SendReason::Timeout, Retry::Later),
        // The server may have accepted the mail.
        (Why::Lost(_), Step::Message) => (SendReason::Response, Retry::Later),
        (Why::Lost(_), _) => (SendReason::Connect, Retry::Later),
        (Why::Tls(_), _) => (SendReason::Tls, Retry::Later),
        (Why::Garbled, _) => (SendReason::Response, Retry::Later),
        (Why::NotOffered(_), Step::Auth) => (SendReason::Auth, Retry::Later),
        (Why::NotOffered(_), _) => (SendReason::Tls, Retry::Later),
        (Why::Refused(reply), _) if reply.code < 500 => (SendReason::ServerError, Retry::Later),
        // Servers lock accounts after too many failed logins.
        (Why::Refused(_), Step::Auth) => (SendReason::Auth, Retry::Disabled),
        (Why::Refused(Reply { code: 530 | 535, .. }), _) => (SendReason::Auth, Retry::Disabled),
        // The server refuses to talk, not this message.
        (Why::Refused(_), Step::Greeting | Step::Hello | Step::StartTls | Step::Reset) => {
            (SendReason::Refused, Retry::Later)
        }
        (Why::Refused(_), _) => (SendReason::Refused, Retry::Never),
    };
    SendError { reason, detail: format!("{place}: {failure}"), retry }
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
    let name = ServerName::try_from(config.host.clone()).map_err(|_| BuildError::Host)?;
    let options = TlsOptions { ca_file: config.ca_file.clone(), ..TlsOptions::default() };
    Ok(Tls { config: Arc::new(http::tls_config(&options)?), name })
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
