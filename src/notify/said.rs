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
            let query = url.query_pairs();
            texts.extend(query.map(|(key, value)| if value.is_empty() { key } else { value }.into_owned()));
            texts.extend(url.fragment().map(str::to_owned));
            texts.extend([url.username().to_owned()]);
            texts.extend(url.password().map(str::to_owned));
        }
        Self::of(texts)
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
        Self::of(sent.into_iter().chain(encoded).collect())
    }

    fn of(mut texts: Vec<String>) -> Self {
        texts.retain(|text| text.len() >= SHORTEST);
        // A secret that contains another goes first.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Secrets(texts)
    }

    /// The first line of an answer that has one, without our secrets.
    pub(super) fn first_line(&self, answer: &str) -> Option<String> {
        let first = answer.lines().find(|line| !line.trim().is_empty())?;
        let mut first = first.to_owned();
        for secret in &self.0 {
            first = first.replace(secret, "***");
        }
        Some(one_line(&first, MOST))
    }
}
