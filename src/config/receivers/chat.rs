//! The tables of chats: `[telegram.NAME]`, `[slack.NAME]` and so on. They are read by one function; which keys a chat has is
//! in its shape.

use std::time::Duration;

use reqwest::Url;
use toml::de::DeValue;

use crate::config::alerting::GROUPING;
use crate::config::shape::{
    Key, Shape,
    Show::{self, Hidden, Number, Origin},
};
use crate::config::table::{Field, Table};
use crate::config::urls::{check_address, check_proxy, is_http};
use crate::config::values::{describe, free_text, kind};
use crate::config::{secrets, tls};
use crate::notify::chat::config::{ChatConfig, Dialect};
use crate::secret::Secret;

use super::http;

/// How services on the web are reached.
pub(super) const REACH: &[Key] =
    &[("proxy", Origin), ("proxy_file", Hidden), ("tls", Show::Table(&tls::SHAPE))];
const HOOK: &[Key] = &[("url", Origin), ("url_file", Hidden)];
const SERVER: &[Key] = &[("url", Origin)];
const TOKEN: &[Key] = &[("token", Hidden), ("token_file", Hidden)];
const ROBOT: &[Key] = &[("secret", Hidden), ("secret_file", Hidden), ("keyword", Hidden)];
const THREAD: &[Key] = &[("thread_id", Number)];

const BARK: Shape = Shape {
    title: "[bark.NAME]",
    keys: &[
        SERVER,
        &[("device_key", Hidden), ("device_key_file", Hidden)],
        http::KEYS,
        super::KEYS,
        super::DIGEST,
        GROUPING,
    ],
};
const DINGTALK: Shape =
    Shape { title: "[dingtalk.NAME]", keys: &[HOOK, ROBOT, REACH, super::KEYS, super::DIGEST, GROUPING] };
const DISCORD: Shape =
    Shape { title: "[discord.NAME]", keys: &[HOOK, THREAD, REACH, super::KEYS, super::DIGEST, GROUPING] };
const FEISHU: Shape =
    Shape { title: "[feishu.NAME]", keys: &[HOOK, ROBOT, REACH, super::KEYS, super::DIGEST, GROUPING] };
const GOTIFY: Shape = Shape {
    title: "[gotify.NAME]",
    keys: &[SERVER, TOKEN, http::KEYS, super::KEYS, super::DIGEST, GROUPING],
};
const NTFY: Shape = Shape {
    title: "[ntfy.NAME]",
    keys: &[
        SERVER,
        &[("topic", Hidden), ("topic_file", Hidden)],
        http::KEYS,
        super::KEYS,
        super::DIGEST,
        GROUPING,
    ],
};
const SLACK: Shape =
    Shape { title: "[slack.NAME]", keys: &[HOOK, REACH, super::KEYS, super::DIGEST, GROUPING] };
const TELEGRAM: Shape = Shape {
    title: "[telegram.NAME]",
    keys: &[
        TOKEN,
        &[("chat_id", Hidden), ("chat_id_file", Hidden)],
        THREAD,
        &[("api_url", Origin)],
        REACH,
        super::KEYS,
        super::DIGEST,
        GROUPING,
    ],
};
const WECOM: Shape =
    Shape { title: "[wecom.NAME]", keys: &[HOOK, REACH, super::KEYS, super::DIGEST, GROUPING] };

pub(in crate::config) const fn shape(dialect: Dialect) -> &'static Shape {
    match dialect {
        Dialect::Bark => &BARK,
        Dialect::Dingtalk => &DINGTALK,
        Dialect::Discord => &DISCORD,
        Dialect::Feishu => &FEISHU,
        Dialect::Gotify => &GOTIFY,
        Dialect::Ntfy => &NTFY,
        Dialect::Slack => &SLACK,
        Dialect::Telegram => &TELEGRAM,
        Dialect::Wecom => &WECOM,
    }
}

/// For one attempt.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
const LONGEST_KEYWORD: usize = 100;
/// Headers that every message has already, and what to write instead.
const OWN_HEADERS: &[(&str, &str)] = &[("host", "leave it out"), ("x-gotify-key", "write token")];

pub(in crate::config) fn read(mut table: Table<'_, '_>, dialect: Dialect) -> Option<ChatConfig> {
    let url = read_url(&mut table, dialect);
    let tls = tls::take(&mut table, url.as_ref().is_some_and(|url| is_http(url.expose())));
    let token = match dialect {
        Dialect::Telegram => needed(&mut table, "token", check_bot_token),
        Dialect::Gotify => needed(&mut table, "token", check_application_token),
        Dialect::Bark => needed(&mut table, "device_key", check_device_key),
        _ => Some(None),
    };
    let room = match dialect {
        Dialect::Telegram => read_chat_id(&mut table),
        Dialect::Ntfy => needed(&mut table, "topic", check_topic),
        _ => Some(None),
    };
    let thread = table.has_key("thread_id").then(|| table.take("thread_id", id)).and_then(Field::value);
    let is_robot = table.has_key("secret");
    let secret = is_robot.then(|| secrets::take(&mut table, "secret")).and_then(Field::value);
    let keyword = is_robot.then(|| table.take_free_text("keyword", check_keyword)).and_then(Field::value);
    let has_login = table.has_key("headers");
    let authorization = has_login.then(|| http::read_authorization(&mut table)).flatten();
    let headers = if has_login {
        http::read_headers(&mut table, OWN_HEADERS, authorization.as_ref())
    } else {
        Vec::new()
    };
    let proxy = secrets::take_checked(&mut table, "proxy", check_proxy);
    let timeout = super::take_timeout(&mut table, DEFAULT_TIMEOUT);
    let common = super::read_common(&mut table, super::Digest::Daily);
    Some(ChatConfig {
        dialect,
        url: url?,
        token: token?,
        room: room?,
        thread,
        secret,
        keyword,
        authorization,
        headers,
        proxy: proxy.value(),
        tls,
        timeout,
        common,
    })
}

/// What is allowed but probably not meant, a sentence each.
pub(in crate::config) fn warnings(name: &str, chat: &ChatConfig) -> Vec<String> {
    let exposed =
        http::exposed(chat.authorization.as_ref(), &chat.headers).unwrap_or("what it sends crosses");
    http::warnings(&format!("{}.{name}", chat.dialect.word()), [&chat.url], &chat.tls, Some(exposed))
}

fn read_url(table: &mut Table<'_, '_>, dialect: Dialect) -> Option<Secret> {
    let server = |table: &mut Table<'_, '_>, key, example, default: Option<&str>| {
        let url = table.take(key, |value| check_server(&free_text(value)?, example));
        if url.is_absent() && default.is_none() {
            table.refuse(key, format!("missing; write the address of the server, such as {example}"));
        }
        match url {
            Field::Absent => default.map(Secret::from),
            url => url.value(),
        }
    };
    let mut hook = |example, check: fn(&Url) -> Result<(), String>| {
        let url = secrets::take_checked(table, "url", |url| {
            let url = check_address(url, example)?;
            http::check_user(&url)
                .map_err(|_| "a URL with a user name or password in it; leave out all up to the @")?;
            check(&url)
        });
        if url.is_absent() {
            let variable = secrets::variable(&table.place.below("url"));
            table.refuse("url", format!("missing; write url or url_file, or set {variable}"));
        }
        url.value()
    };
    match dialect {
        Dialect::Telegram => {
            server(table, "api_url", "\"https://api.telegram.org\"", Some("https://api.telegram.org"))
        }
        Dialect::Ntfy => server(table, "url", "\"https://ntfy.example.com\"", Some("https://ntfy.sh")),
        Dialect::Bark => server(table, "url", "\"https://bark.example.com\"", Some("https://api.day.app")),
        Dialect::Gotify => server(table, "url", "\"https://gotify.example.com\"", None),
        Dialect::Discord => hook("\"https://discord.com/api/webhooks/…\"", |url| {
            let other = ["/slack", "/github"].into_iter().find(|end| url.path().ends_with(end));
            let text = |end| format!("a URL for messages in the form of others; leave out {end} at its end");
            other.map_or(Ok(()), |end| Err(text(end)))
        }),
        Dialect::Slack => hook("\"https://hooks.slack.com/services/…\"", |_| Ok(())),
        Dialect::Feishu => hook("\"https://open.feishu.cn/open-apis/bot/v2/hook/…\"", |_| Ok(())),
        Dialect::Dingtalk => hook("\"https://oapi.dingtalk.com/robot/send?access_token=…\"", |url| {
            needs(url, "access_token")
        }),
        Dialect::Wecom => {
            hook("\"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…\"", |url| needs(url, "key"))
        }
    }
}

/// The address of a server, perhaps with a path prefix.
fn check_server(text: &str, example: &str) -> Result<Secret, String> {
    let url = check_address(text, example)?;
    http::check_user(&url)?;
    if url.query().is_some() {
        return Err("an address with a query; leave out all from the ?".to_owned());
    }
    Ok(Secret::from(url.as_str()))
}

fn needs(url: &Url, parameter: &str) -> Result<(), String> {
    if url.query_pairs().any(|(key, value)| key == parameter && !value.is_empty()) {
        return Ok(());
    }
    Err(format!("a URL without {parameter}= in it; copy the whole URL that the robot's settings show"))
}

/// Takes a secret without which there is no receiver. Absent: it is missing or wrong.
#[expect(clippy::option_option, reason = "a chat without the secret and one that lacks it")]
fn needed(
    table: &mut Table<'_, '_>,
    key: &str,
    check: fn(&str) -> Result<(), String>,
) -> Option<Option<Secret>> {
    let secret = secrets::take_checked(table, key, check);
    if secret.is_absent() {
        let variable = secrets::variable(&table.place.below(key));
        table.refuse(key, format!("missing; write {key} or {key}_file, or set {variable}"));
    }
    secret.value().map(Some)
}

#[expect(clippy::option_option, reason = "as what else is needed")]
fn read_chat_id(table: &mut Table<'_, '_>) -> Option<Option<Secret>> {
    let chat = secrets::take_as(table, "chat_id", chat_id);
    let chat = secrets::checked(table.reading, chat, check_chat_id);
    if chat.is_absent() {
        table.refuse("chat_id", format!("missing; write chat_id or chat_id_file with {CHAT_ID}"));
    }
    chat.value().map(Some)
}

const CHAT_ID: &str = "the number of a chat, such as 123456789 or \"-1001234567890\", or a channel's name, such as \
                       \"@alerts_of_home\"";

/// A number or text.
fn chat_id(value: &DeValue<'_>) -> Result<Secret, String> {
    if let Ok(id) = number(value) {
        return Ok(Secret::from(id.to_string()));
    }
    let wrong = |_| format!("{} where a chat was expected; write {CHAT_ID}", kind(value));
    free_text(value).map(Secret::from).map_err(wrong)
}

/// A number, which groups have below zero, or a public name.
fn check_chat_id(chat: &str) -> Result<(), String> {
    let name = chat.strip_prefix('@').unwrap_or_default();
    let is_name = name.len() >= 4 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_name || chat.parse::<i64>().is_ok_and(|id| id != 0) {
        return Ok(());
    }
    Err(format!("no chat's id; write {CHAT_ID}"))
}

/// The id of a thread.
fn id(value: &DeValue<'_>) -> Result<i64, String> {
    match number(value) {
        Ok(id) if id > 0 => Ok(id),
        _ => Err(format!("{}; write the number of a thread, such as 42", describe(value))),
    }
}

fn number(value: &DeValue<'_>) -> Result<i64, ()> {
    match value {
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).map_err(drop),
        DeValue::String(text) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            text.parse().map_err(drop)
        }
        _ => Err(()),
    }
}

fn check_keyword(keyword: &str) -> Result<(), String> {
    if keyword.chars().count() > LONGEST_KEYWORD {
        return Err(format!("text that is too long; write at most {LONGEST_KEYWORD} characters"));
    }
    Ok(())
}

fn check_bot_token(token: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_token = token.split_once(':').is_some_and(|(bot, key)| {
        !bot.is_empty()
            && bot.bytes().all(|byte| byte.is_ascii_digit())
            && key.len() >= 20
            && key.bytes().all(allowed)
    });
    if is_token {
        return Ok(());
    }
    Err("not the token of a bot; write it as @BotFather shows it, digits, a colon and letters, without \"bot\" in \
         front"
        .to_owned())
}

fn check_application_token(token: &str) -> Result<(), String> {
    if token.starts_with('C') && token.len() == 15 {
        return Err("the token of a client; write that of an application".to_owned());
    }
    check_word(token)
}

fn check_device_key(key: &str) -> Result<(), String> {
    if key.contains(['/', ':']) {
        return Err(
            "a URL where a key was expected; write the key alone, which is the first part of its path"
                .to_owned(),
        );
    }
    check_word(key)
}

fn check_word(word: &str) -> Result<(), String> {
    if word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err("not a key, as it has blanks or letters beyond ASCII; copy it again".to_owned())
}

fn check_topic(topic: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&topic.len()) && topic.bytes().all(allowed) {
        return Ok(());
    }
    Err("not the name of a topic; write at most 64 letters, digits, - and _".to_owned())
}
