//! Renders a notice as a mail.
//!
//! Every attempt at a notice renders the same bytes, so that every reader can recognise a copy.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::{
    Attachment, Body, Mailbox, Mailboxes, Message, MessageBuilder, MultiPart, SinglePart,
    header::{self, ContentTransferEncoding, HeaderName, HeaderValue},
};
use sha2::{Digest, Sha256};

use crate::{
    model::{Enclosure, Notice, NoticeStatus, Severity},
    notify::words::{Action, Link, NAMED, Row, Section, Words},
    wording::Voice,
};

/// What all mails of a receiver share.
#[derive(Clone, Debug)]
pub(super) struct Letterhead {
    pub(super) from: Mailbox,
    pub(super) to: Vec<Mailbox>,
    pub(super) voice: Voice,
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
        let words = Words::of(notice, &self.voice);
        let refused = |err: lettre::error::Error| format!("the mail cannot be written: {err}");

        let mut body = MultiPart::alternative()
            .boundary(digest(&["boundary", &notice.id]))
            .singlepart(SinglePart::plain(text(&words)))
            .singlepart(SinglePart::html(html(&words)));
        if let Some(Enclosure { file, csv, .. }) = &notice.enclosure {
            let table = header::ContentType::parse("text/csv; charset=utf-8")
                .map_err(|err| format!("the mail cannot be written: {err}"))?;
            // Not as text, whose ends of lines servers may change.
            let csv = Body::new_with_encoding(csv.clone().into_bytes(), ContentTransferEncoding::Base64)
                .map_err(|_| "the table cannot be encoded")?;
            body = MultiPart::mixed()
                .boundary(digest(&["enclosure", &notice.id]))
                .multipart(body)
                .singlepart(Attachment::new(file.clone()).body(csv, table));
        }
        let full = self.headers(notice, &words.subject)?.multipart(body).map_err(refused)?;
        let minimal = self
            .headers(notice, &words.plain_subject)?
            .singlepart(SinglePart::plain(minimal(&words, &self.voice)))
            .map_err(refused)?;
        let named = notice.names(NAMED);
        Ok(Letter { full: Some(full.formatted()), minimal: minimal.formatted(), named })
    }

    /// Whom a notice goes to.
    ///
    /// # Errors
    /// None for an accepted configuration; the text is for logs.
    pub(super) fn to(&self, notice: &Notice) -> Result<Vec<Mailbox>, String> {
        match &notice.enclosure {
            Some(Enclosure { to, .. }) if !to.is_empty() => {
                let wrong = |_| "an address of the statement cannot be used".to_owned();
                to.iter().map(|address| address.parse().map_err(wrong)).collect()
            }
            _ => Ok(self.to.clone()),
        }
    }

    fn headers(&self, notice: &Notice, subject: &str) -> Result<MessageBuilder, String> {
        let domain = self.from.email.domain();
        let thread = format!("<{}@{domain}>", digest(&["thread", &notice.receiver, &notice.group]));
        let to: Mailboxes = self.to(notice)?.into_iter().collect();
        let since_epoch = u64::try_from(notice.created_at.as_secs()).unwrap_or(0);
        // The header's format ends with the year 9999.
        let date = UNIX_EPOCH + Duration::from_secs(since_epoch.min(253_402_300_799));
        let headers = Message::builder()
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
            ));
        Ok(headers)
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
    let mut text = String::new();
    for Section { heading, rows } in &words.sections {
        let space = if text.is_empty() { "" } else { "\n" };
        text += &format!("{space}{heading}\n");
        for row in rows {
            text += &format!("\n* {}\n", row.sentence);
            let details = details(row);
            if !details.is_empty() {
                text += &format!("  {details}\n");
            }
        }
    }
    for rest in words.left_out.iter().chain(&words.follow).chain(&words.still) {
        text += &format!("\n{rest}\n");
    }
    for Action { heading, text: action, url } in &words.actions {
        text += &format!("\n{heading}: {action}\n");
        text += &url.as_ref().map_or_else(String::new, |url| format!("{url}\n"));
    }
    if let Some(Link { text: what, url }) = &words.link {
        text += &format!("\n{what}: {url}\n");
    }
    // A line with two hyphens and a space starts a signature (RFC 3676).
    text + &format!("\n-- \n{}\n", words.footer)
}

/// `critical · since 26 November 2026, 19:15`
fn details(row: &Row) -> String {
    row.mark.iter().chain(&row.time).map(String::as_str).collect::<Vec<_>>().join(" · ")
}

/// One column without a table, so that it fits a phone.
fn html(words: &Words) -> String {
    let sections: String = words.sections.iter().map(html_section).collect();
    let rest = words.left_out.iter().chain(&words.follow).chain(&words.still);
    let rest: String = rest.map(|rest| format!("<p>{}</p>\n", escaped(rest))).collect();
    let actions: String = words.actions.iter().map(html_action).collect();
    let link = words.link.iter().map(|Link { text, url }| {
        format!("<p><a href=\"{}\" style=\"color:#0b57d0\">{}</a></p>\n", escaped(url), escaped(text))
    });
    let link: String = link.collect();
    format!(
        "<!DOCTYPE html>\n\
         <html lang=\"{lang}\" dir=\"{dir}\">\n\
         <head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{subject}</title></head>\n\
         <body style=\"margin:0 auto;padding:12px;max-width:600px;font-family:sans-serif;font-size:15px;\
         line-height:1.4;color:#222222;background:#ffffff;overflow-wrap:anywhere\">\n\
         {sections}{rest}{actions}{link}\
         <p style=\"color:#666666;font-size:13px;border-top:1px solid #d0d0d0;padding-top:8px\">{footer}</p>\n\
         </body>\n\
         </html>\n",
        lang = words.language.label(),
        dir = if words.language.is_rtl() { "rtl" } else { "ltr" },
        subject = escaped(&words.subject),
        footer = escaped(&words.footer),
    )
}

fn html_section(Section { heading, rows }: &Section) -> String {
    let rows: String = rows.iter().map(html_row).collect();
    format!("<h2 style=\"font-size:15px;margin:16px 0 6px\">{}</h2>\n{rows}", escaped(heading))
}

fn html_row(row: &Row) -> String {
    let colour = match (row.status, row.severity) {
        (NoticeStatus::Resolved, _) => "#1a7f37",
        (NoticeStatus::Firing, Severity::Critical) => "#b3261e",
        (NoticeStatus::Firing, Severity::Warning) => "#9a6700",
        (NoticeStatus::Firing, Severity::Info) => "#0b57d0",
    };
    let details = details(row);
    let details = match details.as_str() {
        "" => String::new(),
        details => format!("<div style=\"color:#666666;font-size:13px\">{}</div>", escaped(details)),
    };
    format!(
        "<div style=\"border-inline-start:4px solid {colour};padding:2px 10px;margin:0 0 10px\">\
         <div>{}</div>{details}</div>\n",
        escaped(&row.sentence)
    )
}

fn html_action(Action { heading, text, url }: &Action) -> String {
    let heading = escaped(heading);
    let heading = match url {
        Some(url) => format!("<a href=\"{}\" style=\"color:#0b57d0\">{heading}</a>", escaped(url)),
        None => heading,
    };
    format!("<p><b>{heading}:</b> {}</p>\n", escaped(text))
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

fn minimal(words: &Words, voice: &Voice) -> String {
    let follow: String = words.follow.iter().map(|follow| format!(" {follow}")).collect();
    format!("{}{follow}\n\n{}\n", words.plain_subject, voice.text("details-refused"))
}
