//! Renders a notice as a mail.
//!
//! Every attempt at a notice renders the same bytes, so that every reader can recognise a copy.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::{
    Mailbox, Mailboxes, Message, MessageBuilder, MultiPart, SinglePart,
    header::{self, HeaderName, HeaderValue},
};
use sha2::{Digest, Sha256};

use crate::{
    model::{Notice, NoticeStatus, Severity},
    notify::words::{ROWS, Row, Words},
};

/// What all mails of a receiver share.
#[derive(Clone, Debug)]
pub(super) struct Letterhead {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
}

/// A mail, formatted: ASCII throughout, lines end with CRLF.
#[derive(Debug)]
pub(super) struct Letter {
    /// Text and HTML with all details; absent when the server refused it before.
    pub(super) full: Option<Vec<u8>>,
    /// A few words of plain text without any text that users have chosen, for servers that refuse the contents.
    pub(super) minimal: Vec<u8>,
    /// How many alerts `full` names.
    pub(super) named: usize,
}

impl Letterhead {
    /// # Errors
    /// None for an accepted configuration; the text is for logs.
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
        let named = notice.names(Some(ROWS));
        Ok(Letter { full: Some(full.formatted()), minimal: minimal.formatted(), named })
    }

    fn headers(&self, notice: &Notice, subject: &str) -> MessageBuilder {
        let domain = self.from.email.domain();
        let thread = format!("<{}@{domain}>", digest(&["thread", &notice.receiver, &notice.group]));
        let to: Mailboxes = self.to.iter().cloned().collect();
        let since_epoch = u64::try_from(notice.created_at.as_secs()).unwrap_or(0);
        // The header's format ends with the year 9999.
        let date = UNIX_EPOCH + Duration::from_secs(since_epoch.min(253_402_300_799));
        Message::builder()
            .date(date)
            .from(self.from.clone())
            .mailbox(header::To::from(to))
            .subject(subject)
            .message_id(Some(format!("<{}@{domain}>", message_id(&notice.id))))
            // The first mail of a thread is never sent: it represents the group, so that all mails are siblings.
            .in_reply_to(thread.clone())
            .references(thread)
            // Prevents automatic replies (RFC 3834).
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
    }
}

/// The notice's id, or a digest of it if it cannot be in a header.
fn message_id(id: &str) -> String {
    let fits = (1..=200).contains(&id.len())
        && id.split('.').all(|atom| {
            !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        });
    if fits { id.to_owned() } else { digest(&["id", id]) }
}

/// 32 hex digits that identify the texts.
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
    for rest in words.left_out.iter().chain(&words.follow) {
        text += &format!("\n{rest}\n");
    }
    // A line with two hyphens and a space starts a signature (RFC 3676).
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
    let rest = words.left_out.iter().chain(&words.follow);
    let rest: String = rest.map(|rest| format!("<p>{}</p>\n", escaped(rest))).collect();
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
         {rest}\
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
    // `dir="auto"` keeps right-to-left text from reversing what is next to it.
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
    let follow: String = words.follow.iter().map(|follow| format!(" {follow}")).collect();
    format!(
        "{}{follow}\n\nThe mail server refused this message with its details, so they are left out.\n\
         proxymeter's own page and /api/v1/alerts show the alerts that are firing.\n",
        words.headline
    )
}
