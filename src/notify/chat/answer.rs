//! What is looked for in an answer.

use serde_json::Value;

use crate::http::Reply;

/// An answer with its body, as JSON if it is JSON.
pub(super) struct Answer<'a> {
    pub(super) reply: &'a Reply,
    pub(super) text: String,
    json: Value,
}

/// What an answer has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// This code, where the chat has its codes.
    Code(i64),
    /// This text.
    Text(&'static str),
    /// A value here, a JSON pointer.
    Field(&'static str),
    /// `false` here.
    False(&'static str),
    /// This status.
    Status(u16),
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Too many messages.
    Rate,
    /// The service, for a moment.
    Busy,
    /// The credentials, the signature or where we send from.
    Auth,
    /// The room or the robot.
    State,
    TooLarge,
    /// What this message says.
    Message,
    /// The markup of this message.
    Markup,
}

impl<'a> Answer<'a> {
    pub(super) fn of(reply: &'a Reply) -> Self {
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        Answer { reply, text, json: serde_json::from_slice(&reply.body).unwrap_or_default() }
    }

    pub(super) fn at(&self, pointer: &str) -> Option<&Value> {
        self.json.pointer(pointer).filter(|value| !value.is_null())
    }

    pub(super) fn number(&self, pointer: &str) -> Option<i64> {
        match self.at(pointer)? {
            Value::Number(number) => number.as_i64(),
            Value::String(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is in it. `code` is its code.
    pub(super) fn has(&self, said: Said, code: Option<i64>) -> bool {
        match said {
            Said::Code(known) => code == Some(known),
            Said::Text(text) => self.text.contains(text),
            Said::Field(pointer) => self.at(pointer).is_some(),
            Said::False(pointer) => self.at(pointer) == Some(&Value::Bool(false)),
            Said::Status(status) => self.reply.status == status,
        }
    }

    /// The first of several places that has a number.
    pub(super) fn code(&self, pointers: &[&str]) -> Option<i64> {
        pointers.iter().find_map(|pointer| self.number(pointer))
    }
}
