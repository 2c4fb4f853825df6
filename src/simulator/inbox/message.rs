//! A message that a chat service took, as its reader sees it.

/// A chat service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "their own names")]
pub enum Service {
    Telegram,
    Discord,
    Slack,
    Feishu,
    DingTalk,
    WeCom,
    Ntfy,
    Gotify,
    Bark,
    PagerDuty,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 10] = [
        Service::Telegram,
        Service::Discord,
        Service::Slack,
        Service::Feishu,
        Service::DingTalk,
        Service::WeCom,
        Service::Ntfy,
        Service::Gotify,
        Service::Bark,
        Service::PagerDuty,
    ];
}

/// A message that a service took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which service.
    pub service: Service,
    /// The chat (`chat:thread` for a thread of Telegram), the topic, the device key or the `dedup_key`; empty where the
    /// address alone says it.
    pub to: String,
    /// Empty if there is none.
    pub title: String,
    /// What the reader sees below the title, without markup.
    pub text: String,
    /// What the reader can follow, of the title and the text and around them.
    pub links: Vec<Link>,
    /// Who is called: `@all`, `@here`, a name or an ID, as the service writes it.
    pub pings: Vec<String>,
    /// What is set off from the rest by markup.
    pub styles: Vec<Style>,
    /// As it was sent.
    pub body: String,
}

/// Something to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is shown.
    pub text: String,
    /// What it leads to.
    pub url: String,
    /// Recognized in the text by the app, not marked by the sender.
    pub recognized: bool,
}

impl Link {
    /// A link that the sender marked.
    pub(super) fn marked(text: &str, url: &str) -> Link {
        Link { text: text.to_owned(), url: url.to_owned(), recognized: false }
    }
}

/// A part of the text that markup changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Style {
    /// `bold`, `italic`, `code`, …
    pub kind: &'static str,
    /// What is shown in it.
    pub text: String,
}

impl Message {
    /// A message without anything but its text.
    pub(super) fn plain(service: Service, text: impl Into<String>) -> Message {
        let (to, title, body) = (String::new(), String::new(), String::new());
        let (links, pings, styles) = (Vec::new(), Vec::new(), Vec::new());
        Message { service, to, title, text: text.into(), links, pings, styles, body }
    }
}
