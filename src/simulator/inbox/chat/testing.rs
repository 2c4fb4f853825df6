//! Requests to a simulated service, for tests.

use std::str::FromStr;

use hyper::{
    HeaderMap, Method,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{
    super::message::{Message, Service},
    ChatOptions, Fake, Manner,
    setup::Setup,
};
use crate::simulator::http::{Answer, Asked};

pub(super) const NOW_MS: i64 = 1_795_600_000_000;

/// A service without a listener.
pub(super) struct Tried {
    pub(super) setup: Setup,
    pub(super) fake: Fake,
    pub(super) now_ms: i64,
}

/// What came back.
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
    pub(super) message: Option<Message>,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}", self.text))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message that was taken.
    pub(super) fn taken(self) -> Message {
        self.message.unwrap_or_else(|| panic!("{} {}", self.status, self.text))
    }
}

impl Tried {
    pub(super) fn new(service: Service, options: ChatOptions) -> Tried {
        let setup = Setup { options, manner: Manner::Fair };
        Tried { setup, fake: Fake::of(service), now_ms: NOW_MS }
    }

    pub(super) fn ask(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Got {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let method = Method::from_str(method).unwrap();
        let header = |(name, value): &(&str, &str)| {
            (HeaderName::from_str(name).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let headers: HeaderMap = headers.iter().map(header).collect();
        let asked = Asked { method: &method, path, query, headers: &headers, body };
        let (answer, message) = match self.fake.answer(&self.setup, &asked, self.now_ms) {
            Ok((answer, message)) => (answer, Some(message)),
            Err(answer) => (answer, None),
        };
        let (Answer { status, headers, .. }, body) = answer.read();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Got { status, headers: headers.into_iter().collect(), text, message }
    }

    pub(super) fn post(&mut self, target: &str, body: &Value) -> Got {
        let headers = [("content-type", "application/json")];
        self.ask("POST", target, &headers, body.to_string().as_bytes())
    }

    pub(super) fn wait(&mut self, ms: i64) {
        self.now_ms += ms;
    }
}
