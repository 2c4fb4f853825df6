//! What a server's answers mean for this mail and for the next ones.

use lettre::Address;
use tracing::warn;

use super::{
    dialogue::{Failure, Reply, Step, Why},
    session::{Delivery, Security, Server},
};
use crate::notify::{Retry, SendError, SendReason};

/// Marks an address in `done` that refused the notice for good: `refused 550 5.1.1: ann@example.com`.
const REFUSED: &str = "refused ";
/// Marks in `done` that the server refused the full contents, before its words. Only the minimal contents are sent from
/// then on.
const CONTENTS_REFUSED: &str = "contents refused ";
/// The port where TLS begins at once (RFC 8314).
const IMPLICIT: u16 = 465;
/// The most recipients that an error names.
const NAMED: usize = 5;

impl Failure {
    /// What an early end of the dialogue means for a mail that names `named` alerts (RFC 5321, 4.2 and 4.5.4).
    pub(super) fn retry(&self, named: usize) -> Retry {
        let reply = match &self.why {
            Why::Refused(reply) if reply.code >= 500 => reply,
            Why::TooLarge { .. } => return Retry::of_too_large(named),
            Why::Refused(_)
            | Why::Timeout(_)
            | Why::Lost(_)
            | Why::Tls(_)
            | Why::Garbled(_)
            | Why::SpeaksTls
            | Why::NotOffered(_) => return Retry::Later,
        };
        match (self.step, reply.code, reply.enhanced().unwrap_or_default()) {
            _ if reply.requires_tls() => Retry::Refused,
            // Servers lock accounts after too many failed logins.
            (Step::Auth, _, _) | (_, 530 | 535, _) => Retry::Disabled,
            (_, _, code) if is_about_sender(code) || reply.is_about_hello() => Retry::Refused,
            // The server refuses this recipient.
            (Step::Rcpt, _, _) => Retry::Never,
            // The mailbox is full.
            (_, _, "5.2.2") => Retry::Refused,
            (_, _, "5.2.3" | "5.3.4") => Retry::of_too_large(named),
            // Gmail uses 552 5.7.0 for what a mail contains.
            (_, 552, code) if !code.starts_with("5.7.") => Retry::of_too_large(named),
            (Step::Message, _, _) => Retry::Never,
            // The server has not seen the message.
            _ => Retry::Refused,
        }
    }
}

/// Some servers check the sender only when they have the message.
fn is_about_sender(code: &str) -> bool {
    match code {
        // A sender that does not exist, or that is blocked, and the daily limit of an account (Gmail).
        "5.1.7" | "5.1.8" | "5.4.5" => true,
        // The account must not send as this sender (Exchange).
        "5.2.252" | "5.7.60" => true,
        // DKIM, SPF and reverse DNS (RFC 7372).
        code => code.starts_with("5.7.2") && code.len() == 6,
    }
}

/// The outcome of an attempt when the dialogue ended early.
pub(super) fn judge(place: &str, failure: &Failure, named: usize) -> SendError {
    let retry = failure.retry(named);
    let reason = match (&failure.why, failure.step) {
        (Why::Timeout(_), _) => SendReason::Timeout,
        // The server may have accepted the mail.
        (Why::Lost(_), Step::Message) | (Why::Garbled(_), _) => SendReason::Response,
        (Why::Lost(_), _) => SendReason::Connect,
        (Why::NotOffered(_), Step::Auth) => SendReason::Auth,
        (Why::Tls(_) | Why::NotOffered(_) | Why::SpeaksTls, _) => SendReason::Tls,
        (Why::Refused(reply), _) if reply.code < 500 => SendReason::ServerError,
        (Why::Refused(_), _) if retry == Retry::Disabled => SendReason::Auth,
        (Why::Refused(reply), _) if reply.requires_tls() => SendReason::Tls,
        (Why::Refused(_) | Why::TooLarge { .. }, _) => SendReason::Refused,
    };
    let whose = match retry {
        Retry::Later | Retry::NotBefore(_) => "",
        Retry::Refused => "; the server refuses all messages, not only this one",
        Retry::Smaller => "; the message is too large",
        Retry::Never => "; the server refuses this message",
        Retry::Disabled => "; the server refuses the login",
    };
    SendError { reason, detail: format!("{place}: {failure}{whose}"), retry }
}

/// What to change in the configuration, if a failure of this attempt tells; or nothing.
pub(super) fn hint(server: &Server, outcome: &Result<(), Failure>, delivery: &Delivery) -> String {
    let failure = outcome.as_ref().err();
    if let Some(Failure { step: Step::Greeting, why }) = failure
        && !matches!(server.security, Security::Implicit(_))
    {
        let hint = match why {
            Why::SpeaksTls => "; it expects TLS from the start: write tls = \"implicit\"",
            Why::Timeout(_) | Why::Lost(_) | Why::Garbled(_) if server.port == IMPLICIT => {
                "; port 465 expects TLS from the start: write tls = \"implicit\""
            }
            Why::Timeout(_) | Why::Lost(_) => "; if it expects TLS from the start, write tls = \"implicit\"",
            _ => "",
        };
        return hint.to_owned();
    }
    if let Some(Failure { step: Step::StartTls, why: Why::NotOffered(_) }) = failure
        && server.login.is_none()
    {
        return "; for a relay on a network that you trust, write tls = \"none\" and allow_cleartext = true"
            .to_owned();
    }
    let by_recipients = || delivery.deferred.iter().chain(&delivery.refused).map(|(_, reply)| reply);
    let is_plain = matches!(server.security, Security::Loopback | Security::Cleartext);
    let requires_tls = match failure {
        Some(Failure { why: Why::Refused(reply), .. }) => reply.requires_tls(),
        Some(_) => false,
        None => by_recipients().any(Reply::requires_tls),
    };
    if is_plain && requires_tls {
        return "; it requires encryption: write tls = \"starttls\"".to_owned();
    }
    let refuses_hello = match failure {
        Some(Failure { step, why: Why::Refused(reply) }) => {
            let knows_none = matches!(reply.code, 500 | 502 | 530 | 535);
            (*step == Step::Hello && !knows_none) || reply.is_about_hello()
        }
        Some(_) => false,
        None => by_recipients().any(Reply::is_about_hello),
    };
    if !refuses_hello {
        return String::new();
    }
    format!(
        "; it may refuse the name in our greeting, \"EHLO {}\": write the full name of this machine as hello = \
         \"monitor.example.com\"",
        server.hello
    )
}

/// The answer of the server that decided the attempt.
pub(super) fn last_answer(outcome: &Result<(), Failure>, delivery: &Delivery) -> Option<String> {
    match outcome {
        Err(Failure { why: Why::Refused(reply), .. }) => Some(reply.text()),
        Err(Failure { why: Why::Garbled(text), .. }) => Some(text.clone()),
        Err(_) => None,
        Ok(()) => {
            let of_recipients = delivery.deferred.iter().chain(&delivery.refused).map(|(_, reply)| reply);
            of_recipients.chain(&delivery.answer).next().map(Reply::text)
        }
    }
}

/// Adds to `done` what an attempt settled. As long as the server has accepted no recipient, a refusal settles nothing:
/// it may be about the sender or the relay.
pub(super) fn note(done: &mut Vec<String>, delivery: &mut Delivery) {
    done.extend(delivery.contents_refused.iter().map(|failure| format!("{CONTENTS_REFUSED}{failure}")));
    done.extend(delivery.accepted.iter().map(Address::to_string));
    if delivery.reachable {
        let refused = delivery.refused.drain(..);
        done.extend(refused.map(|(address, reply)| format!("{REFUSED}{reply}: {address}")));
    }
}

pub(super) fn is_settled(done: &[String], address: &Address) -> bool {
    let address: &str = address.as_ref();
    done.iter().any(|entry| refusal(entry).map_or(entry.as_str(), |(_, refused)| refused) == address)
}

/// Whether any recipient accepted the notice.
pub(super) fn has_accepted(done: &[String]) -> bool {
    done.iter().any(|entry| is_address(entry))
}

fn is_address(entry: &str) -> bool {
    !entry.starts_with(REFUSED) && !entry.starts_with(CONTENTS_REFUSED)
}

/// The server's codes and the address, if this entry of `done` is a refusal.
fn refusal(entry: &str) -> Option<(&str, &str)> {
    entry.strip_prefix(REFUSED)?.split_once(": ")
}

/// Why the server refused the full contents, if it did.
pub(super) fn contents_refused(done: &[String]) -> Option<&str> {
    done.iter().find_map(|entry| entry.strip_prefix(CONTENTS_REFUSED))
}

/// The outcome of an attempt when the dialogue ended normally and `done` holds what it settled.
pub(super) fn verdict(place: &str, delivery: &Delivery, done: &[String]) -> Result<String, SendError> {
    let answered =
        |(address, reply): &(Address, Reply)| format!("{} answered {reply}", redacted(address.as_ref()));
    let deferred: Vec<String> = delivery.deferred.iter().map(answered).collect();
    let settled = done.iter().filter_map(|entry| refusal(entry));
    let refused: Vec<String> = settled
        .map(|(codes, address)| format!("{} answered {codes}", redacted(address)))
        .chain(delivery.refused.iter().map(answered))
        .collect();
    let accepted = done.iter().filter(|entry| is_address(entry)).count();
    let shortened = contents_refused(done)
        .map(|why| format!("; in few words, as the whole message was refused: {why}"))
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
    let is_account = delivery.deferred.iter().any(|(_, reply)| reply.code >= 500);
    if is_account || (deferred.is_empty() && accepted == 0) {
        let detail = detail() + "; the server refuses all messages, not only this one";
        return Err(SendError { reason: SendReason::Refused, detail, retry: Retry::Refused });
    }
    if !deferred.is_empty() {
        return Err(SendError { reason: SendReason::ServerError, detail: detail(), retry: Retry::Later });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_fault_a_refusal_is() {
        use Step::{Auth, Data, Greeting, Hello, Mail, Message, Rcpt, Reset, StartTls};

        let (later, refused, smaller, never) = (Retry::Later, Retry::Refused, Retry::Smaller, Retry::Never);
        let steps = [Greeting, Hello, StartTls, Mail, Rcpt, Data, Reset, Message];
        for (steps, line, many, one) in [
            (steps.as_slice(), "421 4.7.0 bye", later, later),
            (&steps, "450 5.4.5 another class", later, later),
            (&steps, "530 5.7.0 log in", Retry::Disabled, Retry::Disabled),
            (&steps, "530 5.7.0 Must issue a STARTTLS command first", refused, refused),
            (&steps, "554 5.7.0 TLS required", refused, refused),
            (&steps, "535 5.7.8 log in", Retry::Disabled, Retry::Disabled),
            (&[Auth], "454 4.7.0 later", later, later),
            (&[Auth], "504 what", Retry::Disabled, Retry::Disabled),
            (&steps, "550 5.4.5 daily limit", refused, refused),
            (&steps, "550 5.7.26 unauthenticated", refused, refused),
            (&steps, "554 5.2.252 SendAsDenied", refused, refused),
            (&[Greeting, Hello, StartTls, Mail, Data, Reset], "554 5.7.1 go away", refused, refused),
            (&[Mail], "553 5.7.1 not yours", refused, refused),
            (&[Rcpt], "550 5.1.1 who", never, never),
            (&[Rcpt], "550 5.1.1 <bachelor@example.com>: User unknown", never, never),
            (&[Rcpt], "550 5.1.1 helo: User unknown", never, never),
            (&[Rcpt], "550 no <chelo@example.com> here", never, never),
            (&[Rcpt], "550 5.7.1 <ann@example.com>: Helo command rejected", refused, refused),
            (&[Message], "550 5.7.1 spam: FSL_HELO_FAKE", never, never),
            (&[Rcpt], "552 5.2.2 full", never, never),
            (&[Data, Message], "552 5.2.2 full", refused, refused),
            (&[Mail, Data, Message], "552 too large", smaller, never),
            (&[Mail, Data, Message], "552 5.3.4 too large", smaller, never),
            (&[Mail, Data, Message], "554 5.3.4 too large", smaller, never),
            (&[Mail, Data, Message], "550 5.2.3 too large", smaller, never),
            (&[Message], "552 5.7.0 attachment", never, never),
            (&[Message], "550 5.7.1 spam", never, never),
            (&[Message], "550 5.7.2 list", never, never),
            (&[Message], "554 spam", never, never),
            (&[Message], "541 spam", never, never),
        ] {
            for &step in steps {
                let (code, text) = line.split_once(' ').unwrap();
                let why = Why::Refused(Reply::of(code.parse().unwrap(), text));
                let failure = Failure { step, why };
                assert_eq!((failure.retry(2), failure.retry(1)), (many, one), "{step}: {line}");
            }
        }
    }

    /// Port 465 leaves no doubt.
    #[test]
    fn a_silent_server_on_port_465_expects_tls() {
        let certain = "; port 465 expects TLS from the start: write tls = \"implicit\"";
        let maybe = "; if it expects TLS from the start, write tls = \"implicit\"";
        let limit = std::time::Duration::from_secs(30);
        for (port, step, why, expected) in [
            (465, Step::Greeting, Why::Timeout(limit), certain),
            (465, Step::Greeting, Why::Lost("the server closed it".to_owned()), certain),
            (465, Step::Greeting, Why::Garbled("x".to_owned()), certain),
            (465, Step::Connect, Why::Timeout(limit), ""),
            (465, Step::Greeting, Why::Refused(Reply::of(554, "go away")), ""),
            (587, Step::Greeting, Why::Lost("the server closed it".to_owned()), maybe),
            (587, Step::Hello, Why::Timeout(limit), ""),
        ] {
            let (host, hello) = ("mail.example.com".to_owned(), "meter.example.com".to_owned());
            let server = Server { host, port, security: Security::Cleartext, login: None, hello, limit };
            let outcome = Err(Failure { step, why });
            assert_eq!(hint(&server, &outcome, &Delivery::default()), expected, "{port}: {outcome:?}");
        }
    }
}
