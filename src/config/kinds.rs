//! The kinds of targets and receivers: the word that heads their tables, their keys, and how they are read.
//!
//! A new kind is a file in `targets/` or `receivers/`, a `Kind` here with its place in the table, a variant, and its arms.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::alert::config::AlertingConfig;
use crate::http::options::{Endpoint, PanelUrl};
use crate::model::NodeAllowances;
use crate::notify::alertmanager::config::AlertmanagerConfig;
use crate::notify::chat::config::{ChatConfig, Dialect};
use crate::notify::email::config::{EmailConfig, ReceiverConfig};
use crate::notify::pagerduty::config::PagerdutyConfig;
use crate::notify::webhook::config::WebhookConfig;
use crate::poll::config::PollConfig;
use crate::upstream::cliproxy::config::CliproxyConfig;
use crate::upstream::marzban::config::MarzbanConfig;
use crate::upstream::xui::config::XuiConfig;

use super::cost::CostConfig;
use super::names::{self, Names};
use super::poll;
use super::receivers::{alertmanager, chat, email, pagerduty, webhook};
use super::shape::{Key, Shape, Show};
use super::table::Table;
use super::targets::{cliproxy, marzban, xui};
use super::urls::origin;
use super::users::UsersConfig;

/// One kind of table whose names the operator chooses.
struct Kind<R> {
    /// `[WORD.NAME]` heads the table.
    word: &'static str,
    shape: &'static Shape,
    read: R,
}

/// The other sections that targets depend on.
pub(super) struct Sections<'s> {
    pub(super) users: &'s UsersConfig,
    pub(super) cost: &'s CostConfig,
    pub(super) alerting: &'s AlertingConfig,
}

/// Reads one table; absent: something in it was refused.
type ReadTarget = fn(Table<'_, '_>, &Sections<'_>) -> Option<TargetKind>;
type ReadReceiver = fn(Table<'_, '_>) -> Option<ReceiverKind>;

const TARGETS: [Kind<ReadTarget>; 3] = [MARZBAN, XUI, CLIPROXY];
const MARZBAN: Kind<ReadTarget> = Kind {
    word: "marzban",
    shape: &marzban::SHAPE,
    read: |table, sections| {
        let zone = &sections.alerting.zone;
        marzban::read(table, sections.users, zone).map(TargetKind::Marzban)
    },
};
const XUI: Kind<ReadTarget> =
    Kind { word: "xui", shape: &xui::SHAPE, read: |table, _| xui::read(table).map(TargetKind::Xui) };
const CLIPROXY: Kind<ReadTarget> = Kind {
    word: "cliproxy",
    shape: &cliproxy::SHAPE,
    read: |table, sections| {
        let zone = &sections.alerting.zone;
        cliproxy::read(table, &sections.cost.prices, zone).map(TargetKind::Cliproxy)
    },
};

const RECEIVERS: [Kind<ReadReceiver>; 13] = [
    ALERTMANAGER,
    EMAIL,
    PAGERDUTY,
    WEBHOOK,
    chat(Dialect::Bark, |table| read_chat(table, Dialect::Bark)),
    chat(Dialect::Dingtalk, |table| read_chat(table, Dialect::Dingtalk)),
    chat(Dialect::Discord, |table| read_chat(table, Dialect::Discord)),
    chat(Dialect::Feishu, |table| read_chat(table, Dialect::Feishu)),
    chat(Dialect::Gotify, |table| read_chat(table, Dialect::Gotify)),
    chat(Dialect::Ntfy, |table| read_chat(table, Dialect::Ntfy)),
    chat(Dialect::Slack, |table| read_chat(table, Dialect::Slack)),
    chat(Dialect::Telegram, |table| read_chat(table, Dialect::Telegram)),
    chat(Dialect::Wecom, |table| read_chat(table, Dialect::Wecom)),
];
const ALERTMANAGER: Kind<ReadReceiver> = Kind {
    word: "alertmanager",
    shape: &alertmanager::SHAPE,
    read: |table| alertmanager::read(table).map(ReceiverKind::Alertmanager),
};
const EMAIL: Kind<ReadReceiver> =
    Kind { word: "email", shape: &email::SHAPE, read: |table| email::read(table).map(ReceiverKind::Email) };
const PAGERDUTY: Kind<ReadReceiver> = Kind {
    word: "pagerduty",
    shape: &pagerduty::SHAPE,
    read: |table| pagerduty::read(table).map(ReceiverKind::Pagerduty),
};
const WEBHOOK: Kind<ReadReceiver> = Kind {
    word: "webhook",
    shape: &webhook::SHAPE,
    read: |table| webhook::read(table).map(ReceiverKind::Webhook),
};

const fn chat(dialect: Dialect, read: ReadReceiver) -> Kind<ReadReceiver> {
    Kind { word: dialect.word(), shape: chat::shape(dialect), read }
}

fn read_chat(table: Table<'_, '_>, dialect: Dialect) -> Option<ReceiverKind> {
    chat::read(table, dialect).map(ReceiverKind::Chat)
}

/// The keys of the top level that hold targets.
pub(super) const TARGET_KEYS: &[Key] = &keys(&TARGETS);
/// The keys of the top level that hold receivers.
pub(super) const RECEIVER_KEYS: &[Key] = &keys(&RECEIVERS);

/// One system that is polled.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The value of the label `target`: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// `[poll]`, with what the target's own table overrides.
    pub poll: PollConfig,
    pub kind: TargetKind,
}

/// The kinds of systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Marzban(MarzbanConfig),
    Xui(XuiConfig),
    Cliproxy(CliproxyConfig),
}

/// One place that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverTable {
    /// The value of the label `receiver`: lower-case letters, digits, `-` and `_`.
    pub name: String,
    pub kind: ReceiverKind,
}

/// The kinds of receivers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReceiverKind {
    Alertmanager(AlertmanagerConfig),
    Chat(ChatConfig),
    Email(EmailConfig),
    Pagerduty(PagerdutyConfig),
    Webhook(WebhookConfig),
}

impl Target {
    /// Which system it is, however it is asked: a digest of its kind and URL, whose path may be a secret.
    pub fn source(&self) -> String {
        let url = self.url();
        let socket = url.socket().map(|_| url.origin()).unwrap_or_default();
        let digest = Sha256::digest(format!("{} {socket}{}", self.word(), url.join("/")));
        digest.iter().take(8).fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// The word that heads its table, such as `marzban`.
    pub fn word(&self) -> &'static str {
        match &self.kind {
            TargetKind::Marzban(_) => MARZBAN.word,
            TargetKind::Xui(_) => XUI.word,
            TargetKind::Cliproxy(_) => CLIPROXY.word,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &PanelUrl {
        &self.endpoint().url
    }

    /// What it logs in with.
    pub fn login(&self) -> &'static str {
        match &self.kind {
            TargetKind::Marzban(marzban) => marzban::login(marzban),
            TargetKind::Xui(xui) => xui::login(xui),
            TargetKind::Cliproxy(_) => cliproxy::LOGIN,
        }
    }

    /// The certificates and keys that it names. The content of secret files is in the configuration itself.
    pub fn files(&self) -> Vec<&Path> {
        self.endpoint().tls.files().collect()
    }

    /// Where it is, and how it is reached.
    pub fn endpoint(&self) -> &Endpoint {
        match &self.kind {
            TargetKind::Marzban(marzban) => &marzban.endpoint,
            TargetKind::Xui(xui) => &xui.endpoint,
            TargetKind::Cliproxy(cliproxy) => &cliproxy.endpoint,
        }
    }

    /// What its nodes may move in a month.
    pub fn allowances(&self) -> NodeAllowances {
        match &self.kind {
            TargetKind::Marzban(marzban) => marzban.allowances.clone(),
            TargetKind::Xui(_) | TargetKind::Cliproxy(_) => NodeAllowances::default(),
        }
    }

    /// Whether the client of `other` can go on for this one.
    pub fn is_read_as(&self, other: &Target) -> bool {
        match (&self.kind, &other.kind) {
            (TargetKind::Cliproxy(cliproxy), TargetKind::Cliproxy(other)) => {
                cliproxy.differs_in_costs_alone(other)
            }
            (kind, other) => kind == other,
        }
    }

    /// Whether its client hashes what it meets: keys and accounts that must appear nowhere.
    pub fn hashes(&self) -> bool {
        match &self.kind {
            TargetKind::Marzban(_) | TargetKind::Xui(_) => false,
            TargetKind::Cliproxy(_) => true,
        }
    }

    /// Whether it is an LLM proxy, whose use is in tokens.
    pub fn is_llm(&self) -> bool {
        match &self.kind {
            TargetKind::Marzban(_) | TargetKind::Xui(_) => false,
            TargetKind::Cliproxy(_) => true,
        }
    }

    /// What is allowed but probably not meant, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        match &self.kind {
            TargetKind::Marzban(marzban) => marzban::warnings(&self.name, marzban),
            TargetKind::Xui(xui) => xui::warnings(&self.name, xui),
            TargetKind::Cliproxy(cliproxy) => cliproxy::warnings(&self.name, cliproxy),
        }
    }
}

impl ReceiverKind {
    /// The word that heads its tables, such as `email`.
    pub fn word(&self) -> &'static str {
        match self {
            ReceiverKind::Alertmanager(_) => ALERTMANAGER.word,
            ReceiverKind::Chat(chat) => chat.dialect.word(),
            ReceiverKind::Email(_) => EMAIL.word,
            ReceiverKind::Pagerduty(_) => PAGERDUTY.word,
            ReceiverKind::Webhook(_) => WEBHOOK.word,
        }
    }
}

impl ReceiverKind {
    /// The settings that every kind has.
    pub fn common(&self) -> &ReceiverConfig {
        match self {
            ReceiverKind::Alertmanager(alertmanager) => &alertmanager.common,
            ReceiverKind::Chat(chat) => &chat.common,
            ReceiverKind::Email(email) => &email.common,
            ReceiverKind::Pagerduty(pagerduty) => &pagerduty.common,
            ReceiverKind::Webhook(webhook) => &webhook.common,
        }
    }

    /// The servers that it is reached at, without paths, which may be secrets.
    pub fn servers(&self) -> Vec<String> {
        match self {
            ReceiverKind::Alertmanager(alertmanager) => alertmanager.urls.iter().map(origin).collect(),
            ReceiverKind::Chat(chat) => vec![origin(&chat.url)],
            ReceiverKind::Email(EmailConfig { host, port, .. }) if host.contains(':') => {
                vec![format!("[{host}]:{port}")]
            }
            ReceiverKind::Email(EmailConfig { host, port, .. }) => vec![format!("{host}:{port}")],
            ReceiverKind::Pagerduty(pagerduty) => vec![origin(&pagerduty.url)],
            ReceiverKind::Webhook(webhook) => vec![origin(&webhook.url)],
        }
    }
}

impl ReceiverTable {
    /// The certificates and keys that it names. The content of secret files is in the configuration itself.
    pub fn files(&self) -> Vec<&Path> {
        match &self.kind {
            ReceiverKind::Alertmanager(alertmanager) => alertmanager.tls.files().collect(),
            ReceiverKind::Chat(chat) => chat.tls.files().collect(),
            ReceiverKind::Email(email) => email.certificates.files().collect(),
            ReceiverKind::Pagerduty(pagerduty) => pagerduty.tls.files().collect(),
            ReceiverKind::Webhook(webhook) => webhook.tls.files().collect(),
        }
    }

    /// What is allowed but probably not meant, a sentence each.
    pub(super) fn warnings(&self) -> Vec<String> {
        match &self.kind {
            ReceiverKind::Alertmanager(alertmanager) => alertmanager::warnings(&self.name, alertmanager),
            ReceiverKind::Chat(chat) => chat::warnings(&self.name, chat),
            ReceiverKind::Email(email) => email::warnings(&self.name, email),
            ReceiverKind::Pagerduty(pagerduty) => pagerduty::warnings(&self.name, pagerduty),
            ReceiverKind::Webhook(webhook) => webhook::warnings(&self.name, webhook),
        }
    }
}

/// The names of targets and receivers, before their tables are read.
pub(super) fn read_names(root: &Table<'_, '_>) -> Names {
    Names::read(root, &TARGETS.map(|kind| kind.word), &RECEIVERS.map(|kind| kind.word))
}

/// Whether targets under this word have users.
pub(super) fn has_users(word: &str) -> bool {
    word != CLIPROXY.word
}

/// Whether the users of targets under this word belong to admins.
pub(super) fn has_admins(word: &str) -> bool {
    word == MARZBAN.word
}

/// Reads all targets.
pub(super) fn read_targets(
    root: &mut Table<'_, '_>,
    base: &PollConfig,
    shortest_stale_after: Duration,
    sections: &Sections<'_>,
) -> Vec<Target> {
    let mut targets = Vec::new();
    for kind in &TARGETS {
        for (name, mut table) in tables(root, kind, "a target") {
            let poll = poll::read(&mut table, base, shortest_stale_after);
            targets.extend((kind.read)(table, sections).map(|kind| Target { name, poll, kind }));
        }
    }
    targets
}

/// Reads all receivers, sorted by name.
pub(super) fn read_receivers(root: &mut Table<'_, '_>) -> Vec<ReceiverTable> {
    let mut receivers = Vec::new();
    for kind in &RECEIVERS {
        for (name, table) in tables(root, kind, "a receiver") {
            receivers.extend((kind.read)(table).map(|kind| ReceiverTable { name, kind }));
        }
    }
    receivers.sort_by(|a, b| a.name.cmp(&b.name));
    receivers
}

/// Takes the tables of all receivers for nothing but their names.
pub(super) fn take_receiver_names(root: &mut Table<'_, '_>) -> Vec<String> {
    let tables = RECEIVERS.iter().flat_map(|kind| root.named_tables(kind.word));
    tables.map(|(name, ..)| name).collect()
}

fn tables<'t, 'd, R>(root: &mut Table<'t, 'd>, kind: &Kind<R>, owner: &str) -> Vec<(String, Table<'t, 'd>)> {
    let tables = names::tables(root, kind.word, owner, kind.shape);
    names::tell_apart(&tables);
    tables
}

const fn keys<R, const N: usize>(kinds: &[Kind<R>; N]) -> [Key; N] {
    let mut keys = [("", Show::Hidden); N];
    let mut index = 0;
    while index < N {
        keys[index] = (kinds[index].word, Show::Tables(kinds[index].shape));
        index += 1;
    }
    keys
}
