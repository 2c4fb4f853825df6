//! One connection to the mail server: connect, secure, log in, and send one message.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use lettre::Address;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    config::{SmtpLogin, SmtpMechanism},
    dialogue::{Dialogue, Failure, Reply, Step, Why, lost},
    message::Letter,
};
use crate::{http, notify::Retry};

/// Octets of a command line including its end (RFC 5321, 4.5.3.1.4).
const COMMAND: usize = 512;

/// The server and how to connect to it.
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<SmtpLogin>,
    /// The name for the greeting.
    pub(super) hello: String,
    /// Time limit of each step.
    pub(super) limit: Duration,
}

pub(super) enum Security {
    /// Without TLS, and only to this machine.
    Loopback,
    /// Without TLS.
    Cleartext,
    StartTls(Tls),
    Implicit(Tls),
}

impl Security {
    /// What to write for a server that does not answer with TLS.
    fn plain(&self) -> &'static str {
        match self {
            Security::Implicit(_) => {
                "; if TLS begins later there, as on ports 587 and 25, write tls = \"starttls\""
            }
            Security::StartTls(_) | Security::Loopback | Security::Cleartext => "",
        }
    }
}

pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The outcome of the message and of each recipient.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delivery {
    /// Why the server refused the full contents, if that made us send the minimal ones.
    pub(super) contents_refused: Option<Failure>,
    /// Whether the server accepted any recipient, at this attempt or earlier. Then it refuses others because of
    /// themselves, and not because of the sender.
    pub(super) reachable: bool,
    pub(super) accepted: Vec<Address>,
    /// Recipients to retry.
    pub(super) deferred: Vec<(Address, Reply)>,
    pub(super) refused: Vec<(Address, Reply)>,
    /// The answer to the final dot, if any was accepted.
    pub(super) answer: Option<Reply>,
}

impl Server {
    /// `mail.example.com:587`
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Sends `letter` over its own connection, and immediately the minimal contents if the full ones are refused. What
    /// is certain is added to `delivery`, even if the rest fails: a refusal for good remains one.
    ///
    /// # Errors
    /// When no recipient can have received it, or this is unknown.
    pub(super) async fn deliver(
        &self,
        from: &Address,
        to: Vec<Address>,
        letter: &Letter,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        let stream = self.connect().await?;
        let hello = format!("EHLO {}", self.hello);
        match &self.security {
            Security::Loopback | Security::Cleartext => {
                let mut dialogue = Dialogue::new(stream, self.limit);
                dialogue.greeting().await?;
                self.converse(dialogue, &hello, from, to, letter, delivery).await
            }
            Security::StartTls(tls) => {
                let mut plain = Dialogue::new(stream, self.limit);
                plain.greeting().await?;
                if !Offer::of(&plain.command(Step::Hello, &hello).await?).start_tls {
                    plain.quit().await;
                    return Err(Failure { step: Step::StartTls, why: Why::NotOffered("STARTTLS") });
                }
                plain.command(Step::StartTls, "STARTTLS").await?;
                let stream = self.secure(tls, plain.into_stream()?).await?;
                self.converse(Dialogue::new(stream, self.limit), &hello, from, to, letter, delivery).await
            }
            Security::Implicit(tls) => {
                let mut dialogue = Dialogue::new(self.secure(tls, stream).await?, self.limit);
                dialogue.greeting().await?;
                self.converse(dialogue, &hello, from, to, letter, delivery).await
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let deadline = Instant::now() + self.limit;
        let only_loopback = matches!(self.security, Security::Loopback);
        let connecting = async {
            let found = lookup_host((self.host.as_str(), self.port)).await.map_err(lost)?;
            let addresses: Vec<_> =
                found.filter(|found| !only_loopback || found.ip().is_loopback()).collect();
            let mut why = Why::Lost("the host has no address that may be used".to_owned());
            let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
            for address in addresses {
                // One address that does not answer must not use up the time of the next.
                let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
                left = left.saturating_sub(1);
                match timeout(share, TcpStream::connect(address)).await {
                    Ok(Ok(stream)) => return Ok(stream),
                    Ok(Err(err)) => why = lost(err),
                    Err(_) => why = Why::Timeout(self.limit),
                }
            }
            Err(why)
        };
        let connected = timeout_at(deadline, connecting).await.unwrap_or(Err(Why::Timeout(self.limit)));
        connected.map_err(|why| Failure { step: Step::Connect, why })
    }

    async fn secure(&self, tls: &Tls, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let why = match timeout(self.limit, connector.connect(tls.name.clone(), stream)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(err)) => Why::Tls(http::tls_failure(&err, self.security.plain())),
            Err(_) => Why::Timeout(self.limit),
        };
        Err(Failure { step: Step::Tls, why })
    }

    /// The rest of the dialogue, once the connection is secured.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut dialogue: Dialogue<S>,
        hello: &str,
        from: &Address,
        to: Vec<Address>,
        letter: &Letter,
        delivery: &mut Delivery,
    ) -> Result<(), Failure> {
        let conversation = async {
            let offer = Offer::of(&dialogue.command(Step::Hello, hello).await?);
            if let Some(login) = &self.login {
                log_in(&mut dialogue, login, &offer).await?;
            }
            hand_over(&mut dialogue, offer.size, from, to, letter, delivery).await
        };
        let outcome = conversation.await;
        match &outcome {
            Err(Failure {
                why: Why::Timeout(_) | Why::Lost(_) | Why::Garbled(_) | Why::SpeaksTls, ..
            }) => {}
            _ => dialogue.quit().await,
        }
        outcome
    }
}

/// The extensions that the server offers, as far as they are used.
#[derive(Debug, Default, PartialEq, Eq)]
struct Offer {
    start_tls: bool,
    /// The largest mail in bytes (RFC 1870); absent if the server offers no SIZE.
    size: Option<usize>,
    /// In capitals.
    mechanisms: Vec<String>,
}

impl Offer {
    fn of(hello: &Reply) -> Self {
        let mut offer = Offer::default();
        // The first line is the server's name.
        for line in hello.lines().skip(1) {
            let line = line.to_ascii_uppercase();
            // Servers wrote "AUTH=" before RFC 2554.
            let mut words = line.split([' ', '=']);
            match words.next() {
                Some("STARTTLS") => offer.start_tls = true,
                // 0, or nothing, is no limit. One that is no number is none either: the server judges the mail itself.
                Some("SIZE") => {
                    let limit = words.next().and_then(|limit| limit.parse().ok()).filter(|&limit| limit > 0);
                    offer.size = Some(limit.unwrap_or(usize::MAX));
                }
                Some("AUTH") => offer.mechanisms.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        offer
    }
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    login: &SmtpLogin,
    offer: &Offer,
) -> Result<(), Failure> {
    let (user, password) = (&login.username, login.password.expose());
    let wanted: &[(&str, SmtpMechanism)] = match login.mechanism {
        SmtpMechanism::Auto => &[("PLAIN", SmtpMechanism::Plain), ("LOGIN", SmtpMechanism::Login)],
        SmtpMechanism::Plain => &[("PLAIN", SmtpMechanism::Plain)],
        SmtpMechanism::Login => &[("LOGIN", SmtpMechanism::Login)],
        SmtpMechanism::Xoauth2 => &[("XOAUTH2", SmtpMechanism::Xoauth2)],
    };
    let offered = wanted.iter().find(|(name, _)| offer.mechanisms.iter().any(|offered| offered == name));
    let (name, mut answers) = match offered {
        Some((name, SmtpMechanism::Login)) => (name, vec![user.clone(), password.to_owned()]),
        Some((name, SmtpMechanism::Xoauth2)) => {
            (name, vec![format!("user={user}\x01auth=Bearer {password}\x01\x01")])
        }
        Some((name, SmtpMechanism::Plain | SmtpMechanism::Auto)) => {
            (name, vec![format!("\0{user}\0{password}")])
        }
        None => {
            let why = Why::NotOffered("a way to log in that we may use");
            return Err(Failure { step: Step::Auth, why });
        }
    };
    answers.reverse();

    // LOGIN starts with a challenge. The others may send their answer along if it fits (RFC 4954).
    let mut line = format!("AUTH {name}");
    if let [only] = answers.as_slice() {
        let whole = format!("{line} {}", BASE64.encode(only));
        if whole.len() + 2 <= COMMAND {
            line = whole;
            answers.clear();
        }
    }
    let mut reply = dialogue.command(Step::Auth, &line).await?;
    // XOAUTH2 refuses with a further challenge; an empty answer to it brings the code.
    let mut emptied = false;
    while reply.code == 334 {
        let answer = answers.pop();
        if answer.is_none() && std::mem::replace(&mut emptied, true) {
            return Err(Failure { step: Step::Auth, why: Why::Garbled(reply.text()) });
        }
        reply = dialogue.command(Step::Auth, &BASE64.encode(answer.unwrap_or_default())).await?;
    }
    Ok(())
}

/// Sends the full contents and, if no message with them can be accepted, the minimal ones.
async fn hand_over<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    size: Option<usize>,
    from: &Address,
    mut to: Vec<Address>,
    letter: &Letter,
    delivery: &mut Delivery,
) -> Result<(), Failure> {
    if let Some(full) = &letter.full {
        match transact(dialogue, size, from, &mut to, full, delivery).await {
            Err(failure) if failure.retry(letter.named) == Retry::Never => {
                delivery.contents_refused = Some(failure);
                dialogue.command(Step::Reset, "RSET").await?;
            }
            outcome => return outcome,
        }
    }
    transact(dialogue, size, from, &mut to, &letter.minimal, delivery).await
}

/// Sends sender, recipients and `message`. The server judges each recipient alone; those that it does not accept are
/// taken out of `to`.
async fn transact<S: AsyncRead + AsyncWrite + Unpin>(
    dialogue: &mut Dialogue<S>,
    size: Option<usize>,
    from: &Address,
    to: &mut Vec<Address>,
    message: &[u8],
    delivery: &mut Delivery,
) -> Result<(), Failure> {
    let mut mail = format!("MAIL FROM:<{from}>");
    if let Some(limit) = size {
        let size = message.len();
        if size > limit {
            return Err(Failure { step: Step::Mail, why: Why::TooLarge { size, limit } });
        }
        mail += &format!(" SIZE={size}");
    }
    dialogue.command(Step::Mail, &mail).await?;
    for recipient in std::mem::take(to) {
        let Err(failure) = dialogue.command(Step::Rcpt, &format!("RCPT TO:<{recipient}>")).await else {
            delivery.reachable = true;
            to.push(recipient);
            continue;
        };
        match (failure.retry(1), failure.why) {
            (Retry::Never, Why::Refused(reply)) => delivery.refused.push((recipient, reply)),
            (Retry::Later | Retry::Refused, Why::Refused(reply)) if reply.code != 421 => {
                delivery.deferred.push((recipient, reply));
            }
            (_, why) => return Err(Failure { step: Step::Rcpt, why }),
        }
    }
    if !to.is_empty() {
        delivery.answer = Some(dialogue.message(message).await?);
        delivery.accepted = std::mem::take(to);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn what_a_server_offers() {
        let login = ["LOGIN", "LOGIN", "CRAM-MD5"].as_slice();
        for (answer, start_tls, size, mechanisms) in [
            ("250 AUTH.example.com\r\n", false, None, [].as_slice()),
            ("250-x\r\n250-starttls\r\n250 auth plain Login\r\n", true, None, &["PLAIN", "LOGIN"]),
            ("250-x\r\n250-AUTH=LOGIN\r\n250 AUTH LOGIN CRAM-MD5\r\n", false, None, login),
            ("250-x\r\n250-XSTARTTLS\r\n250 AUTHENTICATE\r\n", false, None, &[]),
            ("250-x\r\n250 size 10240000\r\n", false, Some(10_240_000), &[]),
            ("250-x\r\n250 SIZE\r\n", false, Some(usize::MAX), &[]),
            ("250-x\r\n250 SIZE 0\r\n", false, Some(usize::MAX), &[]),
            ("250-x\r\n250 SIZE -1\r\n", false, Some(usize::MAX), &[]),
            ("250-x\r\n250 SIZE 99999999999999999999999\r\n", false, Some(usize::MAX), &[]),
            ("250-x\r\n250 SIZES 5\r\n", false, None, &[]),
        ] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            let mut dialogue = Dialogue::new(ours, Duration::from_secs(5));
            let offer = Offer::of(&dialogue.command(Step::Hello, "EHLO x").await.unwrap());
            assert_eq!((offer.start_tls, offer.size), (start_tls, size), "{answer}");
            assert_eq!(offer.mechanisms, mechanisms, "{answer}");
        }
    }
}
