//! The client's side of an SMTP dialogue (RFC 5321), step by step, each with its own time limit.
//!
//! lettre writes our messages, but its connection is not used. It keeps what arrives before the TLS handshake and
//! treats it as encrypted answers (RFC 3207 requires discarding it), it reads lines of any length into memory, it
//! combines greeting and hello into one step, and it does not take our TLS configuration.

use std::{fmt, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::http;

/// Bytes of one line and of one answer. RFC 5321 has 512 for a line; servers write longer ones.
const LINE: usize = 4096;
const ANSWER: usize = 64 * 1024;
/// How the alert of a server begins that waited for TLS (RFC 8446, 5.1). No answer in plain text begins so.
const TLS_ALERT: [u8; 2] = [21, 3];
/// How long to wait for the answer to QUIT, which changes nothing.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection during a dialogue.
#[derive(Debug)]
pub(super) struct Dialogue<S> {
    stream: S,
    unread: Vec<u8>,
    limit: Duration,
}

/// The step of the dialogue that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Connect,
    Tls,
    Greeting,
    Hello,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// Before the minimal contents are sent.
    Reset,
    /// The message and the answer to its end.
    Message,
}

/// Why a dialogue ended early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) step: Step,
    pub(super) why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The step took longer than this.
    Timeout(Duration),
    /// There was no connection, or it broke; with the system's reason, if there is one.
    Lost(String),
    Tls(String),
    /// This is not a valid answer to this step.
    Garbled(String),
    /// The server began with TLS where plain text was due.
    SpeaksTls,
    /// The server does not offer what the configuration requires.
    NotOffered(&'static str),
    /// The mail has `size` bytes, and the server announced this limit.
    TooLarge {
        size: usize,
        limit: usize,
    },
    /// The server refused.
    Refused(Reply),
}

/// The server's answer. Its `Display` is the code and the enhanced code (RFC 3463): `550 5.1.1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialogue<S> {
    /// `limit` is the time limit of each step.
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Dialogue { stream, unread: Vec::new(), limit }
    }

    /// Waits for the server's greeting.
    pub(super) async fn greeting(&mut self) -> Result<Reply, Failure> {
        self.exchange(Step::Greeting, b"").await
    }

    /// Sends `line`, which has no line end yet, and reads the answer.
    pub(super) async fn command(&mut self, step: Step, line: &str) -> Result<Reply, Failure> {
        self.exchange(step, format!("{line}\r\n").as_bytes()).await
    }

    /// Sends a message and reads the answer to its final dot.
    pub(super) async fn message(&mut self, message: &[u8]) -> Result<Reply, Failure> {
        self.command(Step::Data, "DATA").await?;
        self.exchange(Step::Message, &stuffed(message)).await
    }

    /// Ends the dialogue. The outcome changes nothing of what was settled before.
    pub(super) async fn quit(mut self) {
        let goodbye = async {
            self.stream.write_all(b"QUIT\r\n").await.map_err(lost)?;
            self.stream.flush().await.map_err(lost)?;
            self.reply().await?;
            self.stream.shutdown().await.map_err(lost)
        };
        drop(timeout(GOODBYE, goodbye).await);
    }

    /// Returns the stream for its TLS handshake. Unexpected input may come from anyone between us and the server, and
    /// must not be used as an answer after the handshake.
    pub(super) fn into_stream(self) -> Result<S, Failure> {
        if self.unread.is_empty() {
            Ok(self.stream)
        } else {
            let why = "plain text was sent ahead of the handshake".to_owned();
            Err(Failure { step: Step::Tls, why: Why::Tls(why) })
        }
    }

    async fn exchange(&mut self, step: Step, bytes: &[u8]) -> Result<Reply, Failure> {
        let limit = self.limit;
        let exchange = async {
            let written = async {
                self.stream.write_all(bytes).await?;
                self.stream.flush().await
            };
            match written.await {
                Ok(()) => self.reply().await,
                // A server that gives up sends a reason before it closes the connection.
                Err(err) => self.reply().await.map_err(|_| lost(err)),
            }
        };
        let answered = timeout(limit, exchange).await.unwrap_or(Err(Why::Timeout(limit)));
        answered
            .and_then(|reply| match (reply.code / 100, step) {
                (4 | 5, _) => Err(Why::Refused(reply)),
                (3, Step::Data | Step::Auth) => Ok(reply),
                (2, step) if step != Step::Data => Ok(reply),
                _ => Err(Why::Garbled(reply.text())),
            })
            .map_err(|why| match (why, step) {
                (Why::Tls(how), Step::Message) => Failure { step, why: Why::Lost(how) },
                (why, step) => Failure { step, why },
            })
    }

    async fn reply(&mut self) -> Result<Reply, Why> {
        let mut code = None;
        let mut lines = Vec::new();
        let mut length = 0;
        loop {
            let line = self.line().await?;
            length += line.len();
            let garbled = || Why::Garbled(String::from_utf8_lossy(&line).into_owned());
            let line = ReplyLine::read(&line).ok_or_else(garbled)?;
            if length > ANSWER || *code.get_or_insert(line.code) != line.code {
                return Err(Why::Garbled(line.text));
            }
            lines.push(line.text);
            if !line.continues {
                return Ok(Reply { code: line.code, lines });
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Why> {
        loop {
            if self.unread.starts_with(&TLS_ALERT) {
                return Err(Why::SpeaksTls);
            }
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let rest = self.unread.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            if self.unread.len() > LINE {
                return Err(Why::Garbled(String::from_utf8_lossy(&self.unread).into_owned()));
            }
            if self.stream.read_buf(&mut self.unread).await.map_err(lost)? == 0 {
                return Err(Why::Lost("the server closed it".to_owned()));
            }
        }
    }
}

/// The message in wire format, including its end: a line that begins with a dot gets another dot.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            stuffed.push(b'.');
        }
        stuffed.extend_from_slice(line);
    }
    if !stuffed.ends_with(b"\r\n") {
        stuffed.extend_from_slice(b"\r\n");
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}

/// The system's error text, whose `Display` holds no address, or what TLS says.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(super) fn lost(err: io::Error) -> Why {
    http::tls_loss(&err).map_or_else(|| Why::Lost(err.to_string()), Why::Tls)
}

struct ReplyLine {
    code: u16,
    continues: bool,
    text: String,
}

impl ReplyLine {
    fn read(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii_end();
        let (digits, rest) = line.split_at_checked(3)?;
        let code = digits.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(digits).ok())??;
        let code = code.parse().ok().filter(|code| (200..600).contains(code))?;
        let (continues, text) = match rest.split_first() {
            None => (false, rest),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return None,
        };
        Some(ReplyLine { code, continues, text: String::from_utf8_lossy(text).into_owned() })
    }
}

impl Reply {
    #[cfg(test)]
    pub(super) fn of(code: u16, line: &str) -> Self {
        Reply { code, lines: vec![line.to_owned()] }
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The code and all lines, as the server sent them.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.code, self.lines.join("\n"))
    }

    /// Whether it refuses the name of the greeting, by its words: servers may check it as late as they like. A 503 is
    /// about the order of commands, X.1 and X.2 are about an address or a mailbox, whose names may contain anything.
    pub(super) fn is_about_hello(&self) -> bool {
        let is_about_address =
            self.enhanced().is_some_and(|code| [".1.", ".2."].iter().any(|about| code.contains(about)));
        self.code >= 400
            && self.code != 503
            && !is_about_address
            && self.words().any(|word| ["helo", "ehlo"].contains(&word.as_str()))
    }

    /// Whether it wants encryption first: STARTTLS (RFC 3207, 4), or in other words.
    pub(super) fn requires_tls(&self) -> bool {
        let has = |known: &[&str]| self.words().any(|word| known.contains(&word.as_str()));
        let is_about_tls = has(&["starttls", "tls", "ssl", "encryption", "encrypted"]);
        self.code >= 400
            && is_about_tls
            && has(&["must", "need", "needed", "require", "required", "requires"])
    }

    /// The words in lower case, without addresses and URLs. Names with dots, hyphens and the like are one word.
    fn words(&self) -> impl Iterator<Item = String> {
        let words = self.lines().flat_map(str::split_whitespace);
        let words = words.filter(|word| !word.contains('@') && !word.contains("://"));
        let parts = words.flat_map(|word| word.split(|c: char| !(c.is_alphanumeric() || "=-._".contains(c))));
        parts.map(|part| part.trim_matches(['.', '-']).to_ascii_lowercase())
    }

    /// The code of RFC 3463, which RFC 2034 puts at the start of each line.
    pub(super) fn enhanced(&self) -> Option<&str> {
        let word = self.lines.first()?.split(' ').next()?;
        let mut parts = word.split('.');
        let class = parts.next()?.parse::<u16>().ok()?;
        let others = [parts.next()?, parts.next()?];
        let fits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        (class == self.code / 100 && others.into_iter().all(fits) && parts.next().is_none()).then_some(word)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.enhanced().map_or(Ok(()), |enhanced| write!(f, " {enhanced}"))
    }
}

/// Shows codes only, never the server's words: they may quote an address, a password or the message.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.step)?;
        match (&self.why, self.step) {
            (Why::Timeout(limit), Step::Message) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "no answer within {limit}; it may have been delivered")
            }
            (Why::Timeout(limit), _) => write!(f, "no answer within {}", humantime::format_duration(*limit)),
            (Why::Lost(how), Step::Connect) => f.write_str(how),
            (Why::Lost(how), Step::Message) => {
                write!(f, "the connection was lost ({how}); it may have been delivered")
            }
            (Why::Lost(how), _) => write!(f, "the connection was lost ({how})"),
            (Why::Tls(how), _) => f.write_str(how),
            (Why::Garbled(_), _) => f.write_str("what came is not an SMTP answer"),
            (Why::SpeaksTls, _) => f.write_str("the server answers in TLS"),
            (Why::NotOffered(what), _) => write!(f, "the server does not offer {what}"),
            (Why::TooLarge { size, limit }, _) => {
                write!(f, "the mail has {size} bytes, and the server accepts at most {limit}")
            }
            (Why::Refused(reply), _) => write!(f, "answered {reply}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Connect => "connecting",
            Step::Tls => "TLS",
            Step::Greeting => "greeting",
            Step::Hello => "EHLO",
            Step::StartTls => "STARTTLS",
            Step::Auth => "AUTH",
            Step::Mail => "MAIL FROM",
            Step::Rcpt => "RCPT TO",
            Step::Data => "DATA",
            Step::Reset => "RSET",
            Step::Message => "the message",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_at_the_start_of_a_line_are_doubled() {
        for (message, wire) in [
            ("a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..a\r\nb.\r\n.c", "...a\r\nb.\r\n..c\r\n.\r\n"),
            ("", "\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8(stuffed(message.as_bytes())).unwrap(), wire, "{message:?}");
        }
    }

    /// A server that stops reading delays us no longer than one that sends nothing.
    #[tokio::test(start_paused = true)]
    async fn what_is_not_read_is_not_written_for_ever() {
        let limit = Duration::from_secs(5);
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"354 go on\r\n").await.unwrap();
        let mut dialogue = Dialogue::new(ours, limit);
        let failure = dialogue.message(&[b'x'; 1000]).await.unwrap_err();
        assert_eq!(failure, Failure { step: Step::Message, why: Why::Timeout(limit) });
    }

    #[test]
    fn lines_of_an_answer() {
        for (line, read) in [
            ("250 2.1.0 Ok\r\n", Some((250, false, "2.1.0 Ok"))),
            ("250-SIZE 100\r\n", Some((250, true, "SIZE 100"))),
            ("250\r\n", Some((250, false, ""))),
            ("250-\r\n", Some((250, true, ""))),
            ("550 who\n", Some((550, false, "who"))),
            ("2500 a\r\n", None),
            ("25\r\n", None),
            ("+25 a\r\n", None),
            ("199 a\r\n", None),
            ("600 a\r\n", None),
            ("hello\r\n", None),
            ("\r\n", None),
            ("Ж50 a\r\n", None),
        ] {
            let told = ReplyLine::read(line.as_bytes());
            let told = told.as_ref().map(|line| (line.code, line.continues, line.text.as_str()));
            assert_eq!(told, read, "{line:?}");
        }
    }

    #[test]
    fn what_a_refusal_is_about() {
        let (hello, tls, other) = ((true, false), (false, true), (false, false));
        for (code, line, expected) in [
            (504, "5.5.2 <box>: Helo command rejected: need fully-qualified hostname", hello),
            (450, "4.7.1 <box>: Helo command rejected: Host not found", hello),
            (550, "5.7.1 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)", hello),
            (550, "HELO/EHLO name is bad", hello),
            (554, "bad EHLO.", hello),
            (503, "5.5.1 EHLO first", other),
            (550, "5.1.1 <bachelor@example.com>: User unknown", other),
            (550, "5.1.1 michelob: helo is no user here", other),
            (550, "5.2.1 helo is full", other),
            (550, "no <helo@example.com> here", other),
            (550, "bachelor is unknown", other),
            (550, "5.7.23 SPF fail; helo=mail.example.com", other),
            (550, "see https://example.com/helo", other),
            (554, "5.7.1 spam: FSL_HELO_FAKE, HELO-DYN, helo.example.com", other),
            (530, "5.7.0 Must issue a STARTTLS command first", tls),
            (554, "5.7.0 TLS required", tls),
            (450, "4.7.1 <a@example.com>: Recipient address rejected: Session encryption is required", tls),
            (550, "5.7.1 This server requires encrypted connections.", tls),
            (530, "5.7.0 Authentication required", other),
            (454, "4.7.0 TLS not available", other),
            (250, "TLS required", other),
        ] {
            let reply = Reply::of(code, line);
            assert_eq!((reply.is_about_hello(), reply.requires_tls()), expected, "{code} {line}");
        }
    }

    #[test]
    fn codes_that_are_shown() {
        for (code, line, shown) in [
            (550, "5.1.1 <a@example.com> who", "550 5.1.1"),
            (550, "who", "550"),
            (550, "4.1.1 other class", "550"),
            (450, "4.22.333 x", "450 4.22.333"),
            (450, "4.2222.1 x", "450"),
            (450, "4.2 x", "450"),
            (450, "4.2.1.0 x", "450"),
            (450, "", "450"),
        ] {
            assert_eq!(Reply::of(code, line).to_string(), shown, "{line:?}");
        }
    }
}
