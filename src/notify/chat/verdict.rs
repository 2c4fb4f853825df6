//! What an answer means. The status is not enough: most chats say in the body whether they took a message.

use super::{
    answer::{Answer, Meaning},
    dialects::Row,
};
use crate::{
    http::Reply,
    model::Timestamp,
    notify::{
        Retry, SendReason,
        webhook::verdict::{self, HANDFUL, Refusal},
    },
    secret::Secret,
};

/// Why a message was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Refused(Refusal),
    /// The markup cannot be parsed; the same without any may be accepted.
    Markup(Refusal),
    /// The room has another id now.
    Moved(Secret, Refusal),
}

/// Evaluates an answer that came at `now` to a message about `named` alerts.
pub(super) fn judge(row: &Row, reply: &Reply, named: usize, now: Timestamp) -> Result<(), Verdict> {
    let answer = Answer::of(reply);
    let is_success = (200..=299).contains(&reply.status);
    if is_success && (row.accepts)(&answer) {
        return Ok(());
    }
    if let Some(room) = row.moves_at.and_then(|pointer| answer.number(pointer)) {
        let what = format!("answered {}: the chat has moved", reply.status);
        let refusal = Refusal { reason: SendReason::ClientError, what, retry: Retry::Refused };
        return Err(Verdict::Moved(room.to_string().into(), refusal));
    }
    let code = answer.code(row.codes_at);
    let found = row.refusals.iter().find(|(said, _)| answer.has(*said, code));
    // A mirror may pass on an error with a status of its own.
    let status = row.status_at.filter(|_| is_success).and_then(|pointer| answer.number(pointer));
    let status = status.and_then(|status| u16::try_from(status).ok()).filter(|status| *status >= 300);
    let effective = Reply {
        status: status.unwrap_or(reply.status),
        headers: reply.headers.clone(),
        body: reply.body.clone(),
    };
    let later = || verdict::retry_after(reply, now, &[row.waits_at]).map_or(Retry::Later, Retry::NotBefore);
    // Of so many alerts, one may be why the whole message is refused.
    let of_message = match effective.status {
        400 if named > HANDFUL => Retry::of_too_large(named),
        _ => Retry::Never,
    };
    let refusal = match found {
        Some((_, meaning)) => {
            let (reason, retry, note) = match meaning {
                Meaning::Rate => (SendReason::RateLimited, later(), "too many messages"),
                Meaning::Busy => (SendReason::ServerError, later(), "the service is busy"),
                Meaning::Auth => (
                    SendReason::Auth,
                    Retry::Refused,
                    "the receiver refuses the credentials, the signature or this address",
                ),
                Meaning::State => (
                    SendReason::ClientError,
                    Retry::Refused,
                    "the receiver refuses all messages, not only this one",
                ),
                Meaning::TooLarge => {
                    (SendReason::ClientError, Retry::of_too_large(named), "the message is too large")
                }
                Meaning::Message => {
                    (SendReason::ClientError, of_message, "the receiver refuses this message")
                }
                Meaning::Markup => {
                    (SendReason::ClientError, of_message, "the markup of the message cannot be parsed")
                }
            };
            let refusal = Refusal { reason, what: format!("{}: {note}", said(reply, code)), retry };
            if *meaning == Meaning::Markup {
                return Err(Verdict::Markup(refusal));
            }
            refusal
        }
        None => match verdict::judge(&effective, named, now, &[row.waits_at]) {
            Err(refusal) => refusal,
            // It says that it failed, in a way that is not in the table.
            Ok(()) if code.is_some() => Refusal {
                reason: SendReason::ClientError,
                what: format!("{}: the receiver refuses this message", said(reply, code)),
                retry: Retry::Never,
            },
            Ok(()) => Refusal {
                reason: SendReason::Response,
                what: format!("answered {}, but not as {} does", reply.status, row.dialect.title()),
                retry: Retry::Later,
            },
        },
    };
    Err(Verdict::Refused(refusal))
}

/// A code is a number of the service's own documentation, and no secret.
fn said(reply: &Reply, code: Option<i64>) -> String {
    match code {
        Some(code) if code != i64::from(reply.status) => format!("answered {} (code {code})", reply.status),
        _ => format!("answered {}", reply.status),
    }
}
