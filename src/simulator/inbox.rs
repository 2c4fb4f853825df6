//! A mail server and a webhook receiver that accept everything and pass it on.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedSender,
};

use super::http::{self, Answer, Asked, Cost, Wire};

/// Bytes of one mail, and of one line.
const MAX_MESSAGE: usize = 32 * 1024 * 1024;
const MAX_LINE: u64 = 64 * 1024;

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    Mail {
        /// The addresses of the envelope.
        to: Vec<String>,
        /// As it came, with headers.
        message: String,
    },
    Webhook {
        /// Of the header `webhook-id`, empty if there was none.
        id: String,
        body: String,
    },
}

impl Arrival {
    /// A header of a mail, as it came.
    pub fn header(&self, name: &str) -> Option<String> {
        let Arrival::Mail { message, .. } = self else { return None };
        header(message, name)
    }

    /// The text of a mail's first text part, or of its whole body if it has no parts; a webhook's body.
    pub fn text(&self) -> String {
        match self {
            Arrival::Webhook { body, .. } => body.clone(),
            Arrival::Mail { message, .. } => {
                let part =
                    message.split("\r\n--").find(|part| part.to_ascii_lowercase().contains("text/plain"));
                let part = part.unwrap_or(message);
                let (head, body) = part.split_once("\r\n\r\n").unwrap_or(("", part));
                let encoding = header(head, "content-transfer-encoding").unwrap_or_default();
                match encoding.to_ascii_lowercase().as_str() {
                    "quoted-printable" => quoted_printable(body),
                    "base64" => {
                        let packed: String = body.split_whitespace().collect();
                        STANDARD.decode(packed).map_or_else(
                            |_| body.to_owned(),
                            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
                        )
                    }
                    _ => body.to_owned(),
                }
            }
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let head = head.split("\r\n\r\n").next()?.replace("\r\n ", " ").replace("\r\n\t", " ");
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

fn quoted_printable(text: &str) -> String {
    let text = text.replace("=\r\n", "");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = (byte == b'=').then(|| (rest.next(), rest.next()));
        match pair {
            Some((Some(high), Some(low))) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => bytes.push(high * 16 + low),
                _ => bytes.extend([byte, high, low]),
            },
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Accepts mail and webhooks until `stop` resolves. What arrives is passed to `arrivals` before it is acknowledged.
pub async fn serve(
    smtp: TcpListener,
    http: TcpListener,
    arrivals: UnboundedSender<Arrival>,
    stop: impl Future<Output = ()>,
) {
    let to_mail = arrivals.clone();
    let mails = http::accept(smtp, move |stream| {
        let arrivals = to_mail.clone();
        // The client may end a connection in any way.
        async move { drop(take_mail(stream, arrivals).await) }
    });
    let answer = move |asked: &Asked<'_>| {
        let id = asked.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or("").to_owned();
        let body = String::from_utf8_lossy(asked.body).into_owned();
        let kept = arrivals.send(Arrival::Webhook { id, body }).is_ok();
        Answer::empty(if kept { 200 } else { 503 })
    };
    let webhooks = Wire::new(Cost::default()).serve(http, answer, Answer::empty);
    tokio::select! {
        () = stop => {}
        () = mails => {}
        () = webhooks => {}
    }
}

async fn take_mail(stream: TcpStream, arrivals: UnboundedSender<Arrival>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 inbox.local ready\r\n").await?;
    let mut to = Vec::new();
    loop {
        let line = line(&mut stream).await?;
        let upper = line.trim_end().to_ascii_uppercase();
        let answer = match upper.split([' ', ':']).next().unwrap_or("") {
            _ if line.is_empty() => return Ok(()),
            "EHLO" => "250-inbox.local\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN\r\n",
            "HELO" | "MAIL" | "NOOP" => "250 fine\r\n",
            "AUTH" => "235 welcome\r\n",
            "RSET" => {
                to.clear();
                "250 fine\r\n"
            }
            "RCPT" => {
                let address = line.split(['<', '>']).nth(1).unwrap_or("");
                to.push(address.to_owned());
                "250 fine\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let message = message(&mut stream).await?;
                match arrivals.send(Arrival::Mail { to: std::mem::take(&mut to), message }) {
                    Ok(()) => "250 kept\r\n",
                    Err(_) => "451 the inbox is closed\r\n",
                }
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 unknown\r\n",
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A line with its end; empty when the client has gone.
async fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(MAX_LINE).read_until(b'\n', &mut line).await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// The lines up to the lone dot, without the dots that were added on the way.
async fn message(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut message = String::new();
    loop {
        let line = line(stream).await?;
        if line.is_empty() || message.len() > MAX_MESSAGE {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(message: &str) -> Arrival {
        Arrival::Mail { to: vec!["ops@example.com".into()], message: message.replace('\n', "\r\n") }
    }

    #[test]
    fn the_text_part_is_read_however_it_is_encoded() {
        let parts = [
            ("7bit", "plain\n", "plain"),
            ("quoted-printable", "a=3Db =\nnext =C3=A9\n", "a=b next é"),
            ("base64", "cGxh\naW4=\n", "plain"),
        ];
        for (encoding, body, text) in parts {
            let mail = mail(&format!(
                "Subject: hello\n  there\nContent-Type: multipart/alternative; boundary=x\n\n--x\n\
                 Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: {encoding}\n\n{body}\n--x\n\
                 Content-Type: text/html\n\n<p>html</p>\n--x--\n"
            ));
            assert_eq!(mail.text().trim(), text, "{encoding}");
            assert_eq!(mail.header("subject").unwrap(), "hello  there");
        }
    }
}
