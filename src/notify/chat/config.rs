//! The configuration of chats.

use std::time::Duration;

use crate::{
    http::options::TlsOptions,
    notify::{email::config::ReceiverConfig, webhook::config::Authorization},
    secret::Secret,
};

/// `[telegram.NAME]`, `[slack.NAME]` and so on: one room, topic or device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChatConfig {
    pub dialect: Dialect,
    /// Of a hook, the complete URL, which is a secret; otherwise the server's address, perhaps with a path prefix.
    pub url: Secret,
    /// The token of Telegram's bot or of Gotify's application, or the key of Bark's device.
    pub token: Option<Secret>,
    /// Telegram's chat, an id or `@name`, or the topic of ntfy, which anyone who knows it can read.
    pub room: Option<Secret>,
    /// The id of a thread in the room (Telegram, Discord).
    pub thread: Option<i64>,
    /// Signs messages (Feishu, DingTalk).
    pub secret: Option<Secret>,
    /// A word that the robot wants in each message (Feishu, DingTalk).
    pub keyword: Option<String>,
    pub authorization: Option<Authorization>,
    /// Names in lower case, each once, and none that every message has already; the values are valid in a header.
    pub headers: Vec<(String, Secret)>,
    /// `http://`, `socks5://` or `socks5h://` proxy, perhaps with a user name and password.
    pub proxy: Option<Secret>,
    pub tls: TlsOptions,
    /// Time limit of one attempt.
    pub timeout: Duration,
    pub common: ReceiverConfig,
}

/// The kinds of chats. What is particular to each is a row in the table of dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Bark,
    Dingtalk,
    Discord,
    /// Lark outside China.
    Feishu,
    Gotify,
    Ntfy,
    Slack,
    Telegram,
    Wecom,
}

impl Dialect {
    pub const ALL: [Dialect; 9] = [
        Dialect::Bark,
        Dialect::Dingtalk,
        Dialect::Discord,
        Dialect::Feishu,
        Dialect::Gotify,
        Dialect::Ntfy,
        Dialect::Slack,
        Dialect::Telegram,
        Dialect::Wecom,
    ];

    /// The word that heads its tables.
    pub const fn word(self) -> &'static str {
        match self {
            Dialect::Bark => "bark",
            Dialect::Dingtalk => "dingtalk",
            Dialect::Discord => "discord",
            Dialect::Feishu => "feishu",
            Dialect::Gotify => "gotify",
            Dialect::Ntfy => "ntfy",
            Dialect::Slack => "slack",
            Dialect::Telegram => "telegram",
            Dialect::Wecom => "wecom",
        }
    }

    /// Its name in sentences.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Dialect::Bark => "Bark",
            Dialect::Dingtalk => "DingTalk",
            Dialect::Discord => "Discord",
            Dialect::Feishu => "Feishu",
            Dialect::Gotify => "Gotify",
            Dialect::Ntfy => "ntfy",
            Dialect::Slack => "Slack",
            Dialect::Telegram => "Telegram",
            Dialect::Wecom => "WeCom",
        }
    }
}
