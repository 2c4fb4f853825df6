//! Chats: a notice as one message to a room, a topic or a device. What is particular to each chat is a row of a table.

mod answer;
pub mod config;
mod dialects;
mod limit;
mod markup;
mod message;
mod sign;
#[cfg(test)]
mod tests;
mod verdict;

use std::{fmt, sync::Arc};

use reqwest::header::HeaderMap;
use tracing::warn;

use self::{
    config::ChatConfig,
    dialects::Row,
    message::Message,
    verdict::{Verdict, judge},
};
use super::{
    Rate, SendError,
    api::{Access, Api, ApiError, json, place},
    compose::composed,
    words::NAMED,
};
use crate::{
    model::{Moment, Notice},
    secret::Secret,
    wording::Voice,
};

/// Sends messages to one room. Its `Debug` shows the server's host and nothing more.
pub struct Chat {
    api: Api,
    row: &'static Row,
    composer: Arc<Composer>,
    /// Where messages go: what is configured, until Telegram says that the group has another id.
    room: Secret,
}

/// What messages are made with.
struct Composer {
    config: ChatConfig,
    voice: Voice,
}

impl Chat {
    /// # Errors
    /// When `config` has a value that cannot work.
    pub fn new(config: &ChatConfig, voice: Voice) -> Result<Self, ApiError> {
        let row = config.dialect.row();
        let mut headers = config.headers.clone();
        headers.extend(row.token_header.map(str::to_owned).zip(config.token.clone()));
        let access = Access {
            url: &config.url,
            content_type: Some(json()),
            authorization: config.authorization.as_ref(),
            headers: &headers,
            proxy: config.proxy.as_ref(),
            tls: &config.tls,
            timeout: config.timeout,
        };
        let secrets = [&config.token, &config.room, &config.secret].into_iter().flatten();
        let api = Api::new(&access, secrets)?;
        let room = config.room.clone().unwrap_or_else(|| Secret::from(""));
        let composer = Arc::new(Composer { config: config.clone(), voice });
        Ok(Chat { api, row, composer, room })
    }

    /// See [`Receiver::pace`](super::Receiver::pace).
    pub(super) fn pace(&self) -> &'static [Rate] {
        (self.row.pace)(&self.composer.config)
    }

    /// See [`Receiver::place`](super::Receiver::place).
    pub(super) fn place(&self) -> String {
        place(&self.api.url)
    }

    /// See [`Receiver::said`](super::Receiver::said).
    pub(super) fn said(&self) -> Option<&str> {
        self.api.said.as_deref()
    }

    /// Makes one attempt: one request, and another if the markup was not understood or the room has moved. While it
    /// waits for the server, it holds the text and not the notice.
    ///
    /// # Errors
    /// Why it was not delivered, and whether and when to retry.
    pub async fn send(&mut self, notice: Arc<Notice>, now: Moment) -> Result<String, SendError> {
        let named = notice.names(NAMED);
        let composer = Arc::clone(&self.composer);
        let message = composed(&self.api.host, move || {
            Ok(Message::of(&notice, &composer.config, &composer.voice, now.wall))
        })
        .await?;
        let config = &self.composer.config;
        let deadline = self.api.deadline();
        let (mut is_plain, mut has_moved) = (false, false);
        loop {
            let post = message.post(config, self.room.expose(), is_plain, now.wall);
            let url = (self.row.url)(config, self.api.url.clone(), now.wall);
            let body = (self.row.body)(&post).to_string().into_bytes();
            let reply = self.api.post(&url, HeaderMap::new(), body, deadline).await?;
            match judge(self.row, &reply, named, now.wall) {
                Ok(()) => return Ok(format!("{} answered {}", self.api.host, reply.status)),
                Err(Verdict::Markup(_)) if !is_plain => is_plain = true,
                Err(Verdict::Moved(room, _)) if !has_moved => {
                    warn!(
                        receiver = message.receiver,
                        "the chat has another id now, which is used from now on; write it into the configuration"
                    );
                    (self.room, has_moved) = (room, true);
                }
                Err(Verdict::Refused(why) | Verdict::Markup(why) | Verdict::Moved(_, why)) => {
                    return Err(self.api.failure(why));
                }
            }
        }
    }
}

impl fmt::Debug for Chat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chat")
            .field("dialect", &self.composer.config.dialect)
            .field("host", &self.api.host)
            .finish_non_exhaustive()
    }
}
