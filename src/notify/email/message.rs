//! A notice as a mail.
//!
//! Every attempt at a notice makes the same bytes, so that a copy can be known for one by all that looks at it.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::{
    Mailbox, Mailboxes, Message, MessageBuilder, MultiPart, SinglePart,
    header::{self, HeaderName, HeaderValue},
};
use sha2::{Digest, Sha256};

use crate::{
    model::{Notice, NoticeStatus, Severity},
    notify::words::{Row, Words},
};

/// What the mails of a receiver have in common.
#[derive(Clone, Debug)]
pub(super) struct Letterhead {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

/// A mail, formatted: ASCII throughout, lines end with CRLF.
#[derive(Debug)]
pub(super) struct Letter {
    /// Text and HTML, all that is to be told; absent when the server refused it before.
    pub(super) full: Option<Vec<u8>>,
    /// A few words of plain text that hold nothing users have chosen, for servers that refuse the contents.
    pub(super) minimal: Vec<u8>,
}

impl Letterhead {
    /// # Errors
    /// None that an accepted configuration leads to; the text is for logs.
    pub(super) fn write(&self, notice: &Notice) -> Result<Letter, String> {
        let words = Words::of(notice);
        let refused = |err: lettre::error::Error| format!("the mail cannot be written: {err}");

        let body = MultiPart::alternative()
            .boundary(digest(&["boundary", &notice.id]))
            .singlepart(SinglePart::plain(text(&words)))
            .singlepart(SinglePart::html(html(&words)));
        let full = self.headers(notice, &words.subject).multipart(body).map_err(refused)?;
        let minimal = self
            .headers(notice, &words.plain_subject)
            .singlepart(SinglePart::plain(minimal(&words)))
            .map_err(refused)?;
        Ok(Letter { full: Some(full.formatted()), minimal: minimal.formatted() })
    }

    fn headers(&self, notice: &Notice, subject: &str) -> MessageBuilder {
        let domain = self.from.email.domain();
        let thread = format!("<{}@{domain}>", digest(&["thread", &notice.receiver, &notice.group]));
        let to: Mailboxes = self.to.iter().cloned().collect();
        let since_epoch = u64::try_from(notice.created_at.as_secs()).unwrap_or(0);
        // No mail is written after the year 9999, which is where the header's format ends.
        let date = UNIX_EPOCH + Duration::from_secs(since_epoch.min(253_402_300_799));
        Message::builder()
            .date(date)
            .from(self.from.clone())
            .mailbox(header::To::from(to))
            .subject(subject)
            .message_id(Some(format!("<{}@{domain}>", message_id(&notice.id))))
            // Nobody ever got the first mail of a thread: it stands for the group, so that all of them are siblings.
            .in_reply_to(thread.clone())
            .references(thread)
            // Keeps holiday replies away (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
    }
}

/// The notice's id, or in place of one that has no place in a header its digest.
fn message_id(id: &str) -> String {
    let fits = (1..=200).contains(&id.len())
        && id.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
    if fits { id.to_owned() } else { digest(&["id", id]) }
}

/// 32 hex digits for some texts.
fn digest(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn text(words: &Words) -> String {
    let mut text = format!("{}\n{}\n", words.headline, words.reason);
    for (status, heading) in [(NoticeStatus::Firing, "FIRING"), (NoticeStatus::Resolved, "RESOLVED")] {
        let mut rows = words.rows.iter().filter(|row| row.status == status).peekable();
        if rows.peek().is_some() {
            text += &format!("\n{heading}\n");
        }
        for row in rows {
            text += &format!("\n* {}\n", title(row));
            for sentence in &row.sentences {
                text += &format!("    {sentence}\n");
            }
            for (name, value) in &row.facts {
                text += &format!("    {name}: {value}\n");
            }
            text += &format!("    {}\n", row.time);
        }
    }
    if let Some(left_out) = &words.left_out {
        text += &format!("\n{left_out}\n");
    }
    // The line of two hyphens and a space sets a signature apart (RFC 3676).
    text + &format!("\nTimes are UTC.\n\n-- \n{}\n", words.footer)
}

fn title(row: &Row) -> String {
    let mut title = format!("{}, {}", row.subject, row.severity.label());
    if !row.step.is_empty() {
        title += &format!(", step {}", row.step);
    }
    title
}

fn html(words: &Words) -> String {
    const CELL: &str = "padding:6px 10px;border:1px solid #d0d0d0;text-align:left;vertical-align:top";

    let head: String = ["Severity", "Subject", "Step", "What", "Time"]
        .iter()
        .map(|title| format!("<th style=\"{CELL};background:#f4f4f4\">{title}</th>"))
        .collect();
    let rows: String = words.rows.iter().map(|row| html_row(row, CELL)).collect();
    let left_out: String =
        words.left_out.iter().map(|left_out| format!("<p>{}</p>\n", escaped(left_out))).collect();
    format!(
        "<!DOCTYPE html>\n\
         <html lang=\"en\">\n\
         <head><meta charset=\"utf-8\"><title>{subject}</title></head>\n\
         <body style=\"font-family:sans-serif;font-size:14px;color:#222222\">\n\
         <p style=\"font-size:16px\"><b>{headline}</b></p>\n\
         <p>{reason}</p>\n\
         <table style=\"border-collapse:collapse\">\n\
         <tr>{head}</tr>\n\
         {rows}</table>\n\
         {left_out}\
         <p style=\"color:#666666\">Times are UTC. {footer}</p>\n\
         </body>\n\
         </html>\n",
        subject = escaped(&words.subject),
        headline = escaped(&words.headline),
        reason = escaped(&words.reason),
        footer = escaped(&words.footer),
    )
}

fn html_row(row: &Row, cell: &str) -> String {
    let (status, colour) = match (row.status, row.severity) {
        (NoticeStatus::Resolved, _) => ("resolved", "#1a7f37"),
        (NoticeStatus::Firing, Severity::Critical) => ("critical", "#b3261e"),
        (NoticeStatus::Firing, Severity::Warning) => ("warning", "#9a6700"),
        (NoticeStatus::Firing, Severity::Info) => ("info", "#0b57d0"),
    };
    // `dir="auto"` keeps the words of a right-to-left language from turning what stands beside them.
    let sentences = row.sentences.iter().map(|text| format!("<div dir=\"auto\">{}</div>", escaped(text)));
    let facts = row
        .facts
        .iter()
        .map(|(name, value)| format!("<div>{}: <bdi>{}</bdi></div>", escaped(name), escaped(value)));
    let what: String = sentences.chain(facts).collect();
    format!(
        "<tr>\
         <td style=\"{cell};color:{colour}\"><b>{status}</b></td>\
         <td style=\"{cell}\"><bdi>{subject}</bdi></td>\
         <td style=\"{cell}\">{step}</td>\
         <td style=\"{cell}\">{what}</td>\
         <td style=\"{cell}\">{time}</td>\
         </tr>\n",
        subject = escaped(&row.subject),
        step = escaped(&row.step),
        time = escaped(&row.time),
    )
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn minimal(words: &Words) -> String {
    format!(
        "{}\n\nThe mail server refused this message with its details, so they are left out.\n\
         What fires is told by proxymeter's own page and by /api/v1/alerts.\n",
        words.headline
    )
}
