//! The ways an answer goes wrong.

use std::{
    io::{self, Write},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::stream::{self, StreamExt};
use hyper::header::{CONTENT_ENCODING, LOCATION};
use serde_json::{Value, json};

use super::answer::{Answer, Pieces};

const HTML: &str = "text/html; charset=utf-8";
const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form method=\"post\">\
    <input name=\"login\"><input name=\"password\" type=\"password\"></form></body></html>";

/// A way for an answer to go wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with the body the real system sends with it; from 502 on, the HTML page of a proxy in front.
    Status(u16),
    /// 200 with an HTML login page, as a portal in front of the system answers.
    Html,
    /// This answer instead of the right one.
    Instead {
        /// The status.
        status: u16,
        /// The `content-type`, which need not fit the body.
        content_type: &'static str,
        /// The body.
        body: &'static str,
    },
    /// 307 to this location.
    Redirect(String),
    /// The right answer cut in half, with the `content-length` of the half.
    CutJson,
    /// The right `content-length`, half of the body, then the connection closes.
    ClosedMidBody,
    /// The connection closes before any answer.
    Closed,
    /// The right answer in pieces of `bytes`, one after every pause of `every`.
    SlowDrip {
        /// Size of a piece.
        bytes: usize,
        /// Pause before each piece.
        every: Duration,
    },
    /// No answer, and the connection stays open.
    Hang,
    /// The right answer, this much later.
    Delay(Duration),
    /// The head of the right answer without its `content-length`, then spaces without end.
    EndlessBody,
    /// A small `gzip` body that unpacks to this many spaces and the right answer.
    GzipBomb(usize),
    /// The right answer with every number, string, boolean and null turned into another type.
    WrongTypes,
}

/// How often a fault happens before it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// With the next matching request.
    Once,
    /// With so many matching requests.
    Count(u32),
    /// Until [`heal`](super::Wire::heal).
    Always,
}

#[derive(Default)]
pub(super) struct Faults {
    rules: Vec<Rule>,
}

struct Rule {
    prefix: String,
    fault: Fault,
    /// `None`: without limit.
    left: Option<u32>,
}

impl Faults {
    pub(super) fn add(&mut self, prefix: &str, fault: Fault, times: Times) {
        let left = match times {
            Times::Once => Some(1),
            Times::Count(count) => Some(count),
            Times::Always => None,
        };
        self.rules.push(Rule { prefix: prefix.to_owned(), fault, left });
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// The fault of a request for this path and query.
    pub(super) fn take(&mut self, target: &str) -> Option<Fault> {
        self.rules.retain(|rule| rule.left != Some(0));
        let rule = self.rules.iter_mut().rev().find(|rule| target.starts_with(&rule.prefix))?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

impl Fault {
    /// What is answered where the system's own answer is `right`.
    pub(super) fn answer(
        &self,
        right: impl FnOnce() -> Answer,
        refusal: impl FnOnce(u16) -> Answer,
    ) -> Answer {
        match self {
            Fault::Status(status @ 502..) => {
                let page = format!("<html><body><h1>{status}</h1><hr>nginx</body></html>");
                Answer::bytes(*status, HTML, page)
            }
            Fault::Status(status) => refusal(*status),
            Fault::Html => Answer::bytes(200, HTML, LOGIN_PAGE),
            Fault::Instead { status, content_type, body } => Answer::bytes(*status, content_type, *body),
            Fault::Redirect(location) => Answer::bytes(307, HTML, "").with(LOCATION, location),
            Fault::CutJson => {
                let (answer, body) = right().read();
                let half = body.len() / 2;
                answer.body(body.slice(..half))
            }
            Fault::GzipBomb(spaces) => {
                let (answer, body) = right().read();
                answer.body(bomb(*spaces, &body)).with(CONTENT_ENCODING, "gzip")
            }
            Fault::WrongTypes => {
                let (answer, body) = right().read();
                let mistyped = serde_json::from_slice(&body).map(|value| mistyped(value).to_string());
                answer.body(mistyped.unwrap_or_default())
            }
            Fault::ClosedMidBody
            | Fault::Closed
            | Fault::SlowDrip { .. }
            | Fault::Hang
            | Fault::Delay(_)
            | Fault::EndlessBody => right(),
        }
    }
}

/// The body as it is sent, and its length.
pub(super) fn sent(answer: Answer, fault: Option<&Fault>) -> (Option<u64>, Pieces) {
    let length = answer.length;
    match fault {
        Some(Fault::ClosedMidBody) => {
            let (_, body) = answer.read();
            let half = body.slice(..body.len() / 2);
            let torn = stream::iter([Ok(half), Err(io::ErrorKind::ConnectionReset.into())]);
            // Without a pause hyper would drop the half with the connection.
            let torn = torn.enumerate().then(|(place, piece)| async move {
                if place > 0 {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                piece
            });
            (length, Box::pin(torn))
        }
        Some(&Fault::SlowDrip { bytes, every }) => {
            let (_, body) = answer.read();
            let drip = stream::unfold(body, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(every).await;
                let piece = rest.split_to(bytes.max(1).min(rest.len()));
                Some((Ok(piece), rest))
            });
            (length, Box::pin(drip))
        }
        Some(Fault::EndlessBody) => {
            let spaces = Bytes::from(vec![b' '; 16 * 1024]);
            (None, Box::pin(stream::repeat(spaces).map(Ok)))
        }
        _ => (length, Box::pin(stream::iter(answer.pieces.map(Ok)))),
    }
}

/// The same keys, with every leaf of another type.
fn mistyped(value: Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!("perhaps"),
        Value::Number(_) => json!("many"),
        Value::String(_) => json!(7),
        Value::Array(items) => items.into_iter().map(mistyped).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, mistyped(value))).collect(),
    }
}

/// `spaces` spaces and the body, compressed.
fn bomb(spaces: usize, body: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let blank = [b' '; 16 * 1024];
    for from in (0..spaces).step_by(blank.len()) {
        // Writing to a vector cannot fail.
        drop(packed.write_all(blank.get(..spaces - from).unwrap_or(&blank)));
    }
    drop(packed.write_all(body));
    packed.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_lasts_as_often_as_asked_and_the_newest_wins() {
        let mut faults = Faults::default();
        faults.add("/api", Fault::Hang, Times::Always);
        faults.add("/api/users", Fault::Html, Times::Count(2));
        faults.add("/api/users", Fault::Closed, Times::Once);
        let names: Vec<String> = ["/api/users?limit=1", "/api/users", "/api/users", "/api/users", "/health"]
            .iter()
            .map(|target| format!("{:?}", faults.take(target)))
            .collect();
        assert_eq!(names, ["Some(Closed)", "Some(Html)", "Some(Html)", "Some(Hang)", "None"]);
        faults.clear();
        assert!(faults.take("/api/users").is_none());
    }
}
