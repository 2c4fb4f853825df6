//! Notices to try a template on.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::context::Context;
use crate::{
    model::{Digest, DigestSection, Notice, NoticeAlert, NoticeStatus, Severity, Timestamp},
    notify::webhook::body::Body,
};

/// What a template must be able to render.
#[derive(Clone, Copy, Debug)]
pub(in crate::notify::webhook) struct Scope {
    /// The output must be JSON.
    pub(in crate::notify::webhook) json: bool,
    pub(in crate::notify::webhook) resolved: bool,
    pub(in crate::notify::webhook) digest: bool,
}

/// A kind of notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    New,
    Resolved,
    /// Some of each, and others that are left out.
    LeftOut,
    /// Without labels and annotations that an alert may lack, and without the address of our pages.
    Bare,
    Digest,
    EmptyDigest,
}

/// A notice as a template sees it.
pub(super) struct Sample {
    pub(super) kind: Kind,
    pub(super) context: Value,
}

/// What names and other texts may contain, and what that is called.
pub(super) const HOSTILE: [(&str, &str); 10] = [
    ("a quotation mark", "a\"b"),
    ("an apostrophe", "a'b"),
    ("a backslash", "a\\c\\"),
    ("a line break", "a\r\nb"),
    ("a control character", "a\u{1}\0\tb"),
    ("braces", "{{ 7 * 7 }}{% for x in alerts %}"),
    ("the end of a script", "</script><!-- &amp;"),
    ("an emoji", "\u{1f468}\u{200d}\u{1f469}\u{1f1fa}"),
    ("text from right to left", "\u{202e}\u{6cc}\u{2066}"),
    ("1,024 bytes", LONG),
];
const LONG: &str = {
    const BYTES: [u8; 1024] = [b'x'; 1024];
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
};
/// A name that no template stumbles over.
pub(super) const HARMLESS: &str = "alice";

impl Scope {
    pub(super) fn kinds(self) -> impl Iterator<Item = Kind> {
        let all = [Kind::New, Kind::Resolved, Kind::LeftOut, Kind::Bare, Kind::Digest, Kind::EmptyDigest];
        all.into_iter().filter(move |kind| match kind {
            Kind::New | Kind::LeftOut | Kind::Bare => true,
            Kind::Resolved => self.resolved,
            Kind::Digest | Kind::EmptyDigest => self.digest,
        })
    }
}

impl Kind {
    /// What a notice of this kind is called after "with".
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::New => "new alerts",
            Kind::Resolved => "resolved alerts",
            Kind::LeftOut => "alerts that are left out",
            Kind::Bare => "an alert that has only the labels and annotations that all alerts have",
            Kind::Digest => "a daily digest, which has no alerts",
            Kind::EmptyDigest => "an empty daily digest, which has no alerts",
        }
    }
}

impl Sample {
    /// `text` stands where people or panels choose the text. Absent: it cannot be written as JSON.
    pub(super) fn of(kind: Kind, text: &str) -> Option<Self> {
        let notice = notice(kind, text);
        let pages = if kind == Kind::Bare { "" } else { "https://proxymeter.example" };
        let context = Context::of(&notice, Body::of(&notice, pages, usize::MAX));
        Some(Sample { kind, context: serde_json::to_value(&context).ok()? })
    }
}

/// The names of all variables.
pub(super) fn names() -> Vec<String> {
    let sample = Sample::of(Kind::New, HARMLESS);
    let context = sample.as_ref().and_then(|sample| sample.context.as_object());
    context.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

pub(super) fn notice(kind: Kind, text: &str) -> Notice {
    let firing = |subject| alert(kind, NoticeStatus::Firing, subject, text);
    let resolved = |subject| alert(kind, NoticeStatus::Resolved, subject, text);
    let second = format!("{text}2");
    let (reason, alerts) = match kind {
        Kind::New => ("first notification", vec![firing(text), firing(&second)]),
        Kind::Resolved => ("all alerts resolved", vec![resolved(text)]),
        Kind::LeftOut => ("new alerts added", vec![firing(text), resolved(&second)]),
        Kind::Bare => ("first notification", vec![firing(text)]),
        Kind::Digest | Kind::EmptyDigest => ("daily digest", Vec::new()),
    };
    let line = |title: &str, lines| Digest { title: title.to_owned(), sections: lines };
    let digest = match kind {
        Kind::Digest => {
            let heading = "Users who expire within 7 days".to_owned();
            let lines = vec![text.to_owned(), second];
            Some(line("Daily digest", vec![DigestSection { heading, lines, more: 7 }]))
        }
        Kind::EmptyDigest => Some(line("Daily digest", Vec::new())),
        Kind::New | Kind::Resolved | Kind::LeftOut | Kind::Bare => None,
    };
    let group_labels = match kind {
        Kind::Digest | Kind::EmptyDigest => BTreeMap::new(),
        _ => pairs(&[("alertname", NAME), ("subject", text), ("target", "home")]),
    };
    Notice {
        id: "msg_example".into(),
        receiver: "example".into(),
        group: format!("{{}}:{{alertname=\"{NAME}\", subject={text:?}, target=\"home\"}}"),
        group_labels,
        reason: reason.into(),
        alerts: alerts.into_iter().map(Arc::new).collect(),
        left_out: if kind == Kind::LeftOut { 7 } else { 0 },
        digest,
        created_at: STARTS,
        ..Notice::default()
    }
}

const NAME: &str = "ProxymeterUserQuota";
const STARTS: Timestamp = Timestamp::from_secs(1_759_305_600);

fn alert(kind: Kind, status: NoticeStatus, subject: &str, text: &str) -> NoticeAlert {
    let resolved = status == NoticeStatus::Resolved;
    let common = [("alertname", NAME), ("kind", "user"), ("severity", "warning"), ("subject", subject)];
    let more = [("rule", "vip"), ("step", "80%"), ("system", "marzban"), ("target", "home")];
    let texts = [("description", text), ("summary", "User has used most of the quota.")];
    let details = [
        ("action", "Raise the limit."),
        ("limit", "50 GiB"),
        ("ratio", "96%"),
        ("reason", text),
        ("remaining", "2 GiB"),
        ("runbook_url", "https://proxymeter.example/runbook#proxymeteruserquota"),
        ("value", "48 GiB"),
    ];
    let (more, details): (&[_], &[_]) = if kind == Kind::Bare { (&[], &[]) } else { (&more, &details) };
    NoticeAlert {
        event: subject.to_owned(),
        status,
        severity: Severity::Warning,
        labels: [&common, more].concat().into_iter().collect(),
        annotations: [&texts, details].concat().into_iter().collect(),
        starts_at: STARTS,
        ends_at: resolved.then(|| Timestamp::from_secs(1_759_309_200)),
        began: None,
        until: None,
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
