//! Where alerts are sent, and a test of it.

use std::{error::Error, io, path::Path};

use clap::{Args, ValueEnum};

use super::{
    dialog::{Dialog, say},
    draft::{Draft, Table, Value},
    secret,
};
use crate::cli::{
    source::env,
    test_notification::{self, Tested},
};

#[derive(Debug, Args)]
pub(super) struct ReceiverFlags {
    /// Where alerts are sent. A test notification is sent there.
    #[arg(long, value_enum)]
    receiver: Option<Kind>,
    /// Name of the receiver in the configuration.
    #[arg(long, value_name = "NAME", default_value = "me")]
    receiver_name: String,
    /// A key of the receiver, such as chat_id=-1001234567890. Secrets have the name of a file, token_file=FILE. Can be
    /// given more than once.
    #[arg(long, value_name = "KEY=VALUE", requires = "receiver", value_parser = key_value)]
    receiver_key: Vec<(String, String)>,
    /// Sends no test notification.
    #[arg(long)]
    no_test: bool,
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    None,
    Telegram,
    Email,
    Ntfy,
    Webhook,
}

/// A key of a receiver.
#[derive(Clone, Copy)]
struct Key {
    key: &'static str,
    /// Without one, only the command line can give it.
    question: &'static str,
    is_secret: bool,
    is_needed: bool,
}

const fn text(key: &'static str, question: &'static str) -> Key {
    Key { key, question, is_secret: false, is_needed: true }
}

const fn secret(key: &'static str, question: &'static str) -> Key {
    Key { is_secret: true, ..text(key, question) }
}

const fn optional(key: Key) -> Key {
    Key { is_needed: false, ..key }
}

const TELEGRAM: &[Key] = &[
    secret("token", "Token of the bot, from @BotFather"),
    text("chat_id", "Chat: its number, which is negative for a group, or @name of a public channel"),
    optional(text("api_url", "")),
    optional(secret("proxy", "")),
];
const EMAIL: &[Key] = &[
    text("smarthost", "Mail server and port, such as smtp.example.com:587"),
    optional(text("tls", "Encryption: starttls, implicit (port 465) or none (empty: starttls)")),
    text("from", "From, such as proxymeter <alerts@example.com>"),
    text("to", "To"),
    optional(text("username", "User name at the mail server (empty: no login)")),
    optional(secret("password", "Password at the mail server")),
];
const NTFY: &[Key] = &[
    secret("topic", "Topic"),
    optional(text("url", "Address of the server (empty: https://ntfy.sh)")),
    optional(secret("bearer_token", "Access token (empty: none)")),
];
const WEBHOOK: &[Key] = &[
    secret("url", "URL"),
    optional(secret("bearer_token", "Token for the header Authorization (empty: none)")),
];

impl Key {
    /// What the command line calls it.
    fn flag(&self) -> String {
        if self.is_secret { format!("{}_file", self.key) } else { self.key.to_owned() }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::Telegram => "telegram",
            Kind::Email => "email",
            Kind::Ntfy => "ntfy",
            Kind::Webhook => "webhook",
        }
    }

    fn keys(self) -> &'static [Key] {
        match self {
            Kind::None => &[],
            Kind::Telegram => TELEGRAM,
            Kind::Email => EMAIL,
            Kind::Ntfy => NTFY,
            Kind::Webhook => WEBHOOK,
        }
    }
}

/// Adds a receiver that accepts a test notification, unless none is wanted. If the file has receivers already, another one
/// is added only by the command line.
pub(super) async fn add(
    flags: &ReceiverFlags,
    draft: &mut Draft,
    dialog: &Dialog,
) -> Result<(), Box<dyn Error>> {
    if let Some(existing) = &draft.existing {
        if flags.receiver.is_none() && existing.has_receivers() {
            return Ok(());
        }
        let name = &flags.receiver_name;
        if existing.has_receiver(name) {
            let why = format!("--receiver-name: the file has a receiver {name} already; choose another name");
            return Err(why.into());
        }
    }
    loop {
        let kind = choose(flags, dialog).await?;
        if kind == Kind::None {
            return Ok(());
        }
        let why = match try_one(kind, flags, draft, dialog).await {
            Ok(()) => return Ok(()),
            Err(why) if !dialog.asks() || flags.receiver.is_some() => {
                return Err(format!("{why}; nothing was written").into());
            }
            Err(why) => why,
        };
        say(why)?;
        // A receiver that the configuration would not accept cannot be kept.
        let can_be_kept = draft.receiver.is_some() && draft.config(&env).is_ok();
        let question = if can_be_kept {
            "Try again, keep it as it is, or leave it out"
        } else {
            "Try again, or leave it out"
        };
        loop {
            match &*dialog.text(question, Some("again"), "").await? {
                "again" => break,
                "keep" if can_be_kept => return Ok(()),
                "out" => {
                    draft.receiver = None;
                    return Ok(());
                }
                _ => say("Write again, keep or out.")?,
            }
        }
        draft.receiver = None;
    }
}

async fn try_one(
    kind: Kind,
    flags: &ReceiverFlags,
    draft: &mut Draft,
    dialog: &Dialog,
) -> Result<(), Box<dyn Error>> {
    draft.receiver = Some(ask(kind, flags, dialog).await?);
    let config = draft.config(&env)?;
    if flags.no_test || !dialog.agrees("Send a test notification", true).await? {
        return Ok(());
    }
    test_notification::run(&config, &Tested::Named(flags.receiver_name.clone()), &mut io::stderr()).await?;
    Ok(())
}

async fn choose(flags: &ReceiverFlags, dialog: &Dialog) -> Result<Kind, Box<dyn Error>> {
    if let Some(kind) = flags.receiver {
        return Ok(kind);
    }
    loop {
        let question = "Where should alerts be sent: telegram, email, ntfy, webhook or none";
        let word = dialog.text(question, Some(Kind::None.word()), "--receiver").await?;
        match Kind::from_str(&word, true) {
            Ok(kind) => return Ok(kind),
            Err(_) => say("Write one of these words. Other receivers can be added to the file later.")?,
        }
    }
}

/// Takes the keys from the command line if it names the receiver, else asks for them.
async fn ask(kind: Kind, flags: &ReceiverFlags, dialog: &Dialog) -> Result<Table, Box<dyn Error>> {
    let silent = Dialog::new(false);
    let dialog = if flags.receiver.is_none() { dialog } else { &silent };
    let mut table = Table::new(kind.word(), &flags.receiver_name);
    let mut given = flags.receiver_key.clone();
    for key in kind.keys() {
        let given = given.iter().position(|(name, _)| *name == key.flag()).map(|at| given.swap_remove(at).1);
        let is_idle = key.question.is_empty() || key.key == "password" && !table.has("username");
        let dialog = if is_idle { &silent } else { dialog };
        let value = match given {
            given if key.is_secret => {
                let file = given.as_deref().map(Path::new);
                secret::secret(dialog, &table, key.key, file, None, key.question).await?
            }
            None if dialog.asks() => {
                let default = (!key.is_needed).then_some("");
                let answer = dialog.text(key.question, default, "").await?;
                Some(answer).filter(|answer| !answer.is_empty()).map(Value::Text)
            }
            given => given.map(Value::Text),
        };
        match value {
            Some(value) => table = table.with(key.key, value),
            None if key.is_needed && flags.receiver.is_none() => {
                return Err(format!("{}: empty", key.question).into());
            }
            None if key.is_needed => return Err(format!("--receiver-key {}=… is missing", key.flag()).into()),
            None => {}
        }
    }
    if let Some((name, _)) = given.first() {
        let keys = kind.keys().iter().map(Key::flag).collect::<Vec<_>>().join(", ");
        return Err(format!("--receiver-key {name}: {} takes {keys}", kind.word()).into());
    }
    Ok(table)
}
