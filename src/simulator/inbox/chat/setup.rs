//! What a simulated chat service is set to, and what becomes of a request.

use super::super::message::Message;
use crate::simulator::http::Answer;

/// What a simulated service knows. What a service has no use for is ignored.
#[derive(Clone, Debug, Default)]
pub struct ChatOptions {
    /// What the sender must know: the bot token of Telegram, `ID/TOKEN` of Discord, `T…/B…/…` of Slack, the ID of the hook
    /// of Feishu, the access token of DingTalk, the key of WeCom, the access token of ntfy (empty: open to all), the
    /// application token of Gotify, the device key of Bark, the routing key of PagerDuty.
    pub token: String,
    /// What Feishu and DingTalk verify signatures with; `user:password` of ntfy and Bark. `None`: not asked for.
    pub secret: Option<String>,
    /// What the text must contain, at Feishu and DingTalk.
    pub keyword: Option<String>,
    /// The chats of Telegram; the topics that the token of ntfy may write to (empty: all).
    pub chats: Vec<String>,
    /// The threads of Telegram's chats; those of Discord's channel, which is a forum if there are any.
    pub threads: Vec<i64>,
    /// ntfy: messages that are too long become attachments.
    pub attachments: bool,
    /// ntfy: how many messages a day an address may send; `None`: any number.
    pub daily: Option<usize>,
}

/// How a service treats its sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// By its rules.
    #[default]
    Fair,
    /// The receiver is no more: the user blocked the bot, the webhook or the application is deleted, the app is removed.
    Gone,
    /// The group has this ID now. Telegram only; the others are fair.
    MovedTo(i64),
    /// Too many requests, whatever their number; so many seconds are named where the service names them.
    TooMany(u32),
    /// The service fails, in the way and with the words it has for it.
    Broken,
}

/// The options and the manner of now.
pub(super) struct Setup {
    pub(super) options: ChatOptions,
    pub(super) manner: Manner,
}

/// What becomes of a request: its answer with the message that was taken, or the answer alone.
pub(super) type Taken = Result<(Answer, Message), Answer>;
