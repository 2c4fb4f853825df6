//! What came in, whatever took it.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::message::Message;

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
    /// A message that a chat service took.
    Chat(Message),
}

impl Arrival {
    /// A header of a mail, as it came.
    pub fn header(&self, name: &str) -> Option<String> {
        let Arrival::Mail { message, .. } = self else { return None };
        header(message, name)
    }

    /// The text of a mail's first text part, or of its whole body if it has no parts; a webhook's body; a chat
    /// message as its reader sees it.
    pub fn text(&self) -> String {
        match self {
            Arrival::Webhook { body, .. } => body.clone(),
            Arrival::Chat(message) => message.text.clone(),
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
