//! What a server said, for the person who tests a receiver. It is printed there and kept nowhere else.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Url;

use super::webhook::config::Authorization;
use crate::{model::words::one_line, notify::email::config::SmtpLogin, secret::Secret};

/// The most characters of an answer that are printed.
const MOST: usize = 300;
/// Shorter texts are no secrets, and occur in other words.
const SHORTEST: usize = 4;
/// What the paths of such URLs have in common.
const PUBLIC: [&str; 15] = [
    "api",
    "cgi-bin",
    "enqueue",
    "hook",
    "hooks",
    "message",
    "open-apis",
    "push",
    "robot",
    "sendMessage",
    "send",
    "services",
    "webhook",
    "webhooks",
    "workflows",
];

/// The texts that are cut out of what a server says. They cannot be printed.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets, and the parts of the URLs that may be some.
    pub(super) fn new<'s>(
        secrets: impl IntoIterator<Item = &'s Secret>,
        login: Option<&Authorization>,
        urls: impl IntoIterator<Item = &'s Secret>,
    ) -> Self {
        let mut texts: Vec<String> = secrets.into_iter().map(|secret| secret.expose().to_owned()).collect();
        match login {
            Some(Authorization::Bearer(token)) => texts.push(token.expose().to_owned()),
            Some(Authorization::Basic { username, password }) => {
                texts.push(password.expose().to_owned());
                texts.push(STANDARD.encode(format!("{username}:{}", password.expose())));
            }
            None => {}
        }
        for url in urls {
            let Ok(url) = Url::parse(url.expose().trim()) else { continue };
            let path = url.path_segments().into_iter().flatten();
            texts.extend(path.filter(|part| !PUBLIC.contains(part)).map(str::to_owned));
            let query = url.query().into_iter().flat_map(|query| query.split('&'));
            texts.extend(query.map(|pair| match pair.split_once('=') {
                Some((_, value)) if !value.is_empty() => value.to_owned(),
                Some((key, _)) => key.to_owned(),
                None => pair.to_owned(),
            }));
            texts.extend(url.fragment().map(str::to_owned));
            texts.extend([url.username().to_owned()]);
            texts.extend(url.password().map(str::to_owned));
        }
        Self::of(&texts)
    }

    /// The login to a mail server, also as it is sent.
    pub(super) fn of_login(login: &SmtpLogin) -> Self {
        let SmtpLogin { username, password, mechanism: _ } = login;
        let password = password.expose();
        let sent = [
            username.clone(),
            password.to_owned(),
            format!("\0{username}\0{password}"),
            format!("user={username}\x01auth=Bearer {password}\x01\x01"),
        ];
        let encoded = sent.iter().map(|text| STANDARD.encode(text)).collect::<Vec<_>>();
        Self::of(&[sent.as_slice(), &encoded].concat())
    }

    fn of(texts: &[String]) -> Self {
        let mut texts: Vec<_> = texts.iter().flat_map(|text| spellings(text)).collect();
        texts.retain(|text| text.len() >= SHORTEST);
        // A secret that contains another goes first.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Secrets(texts)
    }

    /// The first line of an answer that has one, without our secrets.
    pub(super) fn first_line(&self, answer: &str) -> Option<String> {
        let cut = self.0.iter().fold(answer.to_owned(), |answer, secret| answer.replace(secret, "***"));
        let first = cut.lines().find(|line| !line.trim().is_empty())?;
        Some(one_line(first, MOST))
    }
}

/// How a server may write a text that it was sent: as it is, or decoded or encoded as in a URL, and each of these in JSON.
fn spellings(text: &str) -> impl Iterator<Item = String> {
    let encoded = |keep: &str| -> String {
        let escape = |byte: u8| match byte.is_ascii_alphanumeric() || keep.as_bytes().contains(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.bytes().map(escape).collect()
    };
    let plain = [text.to_owned(), decoded(text), decoded(&text.replace('+', " ")), encoded("-._~")];
    plain.into_iter().flat_map(|text| {
        let json = serde_json::to_string(&text).unwrap_or_default();
        let json = json.trim_matches('"').to_owned();
        // PHP escapes these, too.
        let php = json.replace('/', "\\/");
        [text, json, php]
    })
}

/// The text without its escapes of the form `%20`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_cut_in_every_spelling() {
        let url = Secret::from("https://h.example/to%20ken?k=my%20key&q=a%2fb%22c+d&flag%21ship#frag%2Dment");
        let secrets = Secrets::new([&Secret::from("s3cret/\"ü \n")], None, [&url]);
        for (answer, expected) in [
            ("at /to%20ken", "at /***"),
            ("at /to ken", "at /***"),
            ("key my%20key", "key ***"),
            ("key my key", "key ***"),
            ("key my+key", "key my+key"),
            ("q a%2fb%22c+d", "q ***"),
            ("q a/b\"c+d", "q ***"),
            ("q a/b\"c d", "q ***"),
            (r#"{"q":"a/b\"c d"}"#, r#"{"q":"***"}"#),
            (r#"{"q":"a\/b\"c d"}"#, r#"{"q":"***"}"#),
            ("flag!ship", "***"),
            ("frag-ment", "***"),
            (r#"{"was":"s3cret/\"ü \n"}"#, r#"{"was":"***"}"#),
            (r#"{"was":"s3cret\/\"ü \n"}"#, r#"{"was":"***"}"#),
            ("was s3cret%2F%22%C3%BC%20%0A", "was ***"),
            ("\n was s3cret/\"ü \n!", "was ***!"),
            ("100 % of%2it", "100 % of%2it"),
        ] {
            assert_eq!(secrets.first_line(answer).as_deref(), Some(expected), "{answer}");
        }
    }
}
