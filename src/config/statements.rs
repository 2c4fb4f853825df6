//! The tables `[statement.NAME]`: which monthly statements are sent, and to whom.

use lettre::message::Mailbox;
use toml::de::DeValue;

use super::kinds::{self, ReceiverKind, ReceiverTable};
use super::names::{self, Names, is_name};
use super::receivers::{email, time_of_day};
use super::shape::{
    Shape,
    Show::{Hidden, If, Number},
};
use super::table::{Field, Table};
use super::values::{text, whole};

pub(super) const SHAPE: Shape = Shape {
    title: "[statement.NAME]",
    keys: &[&[
        ("receiver", If(is_name)),
        ("to", Hidden),
        ("target", If(is_name)),
        ("admin", Hidden),
        ("day", Number),
        ("at", If(|text| super::mutes::minute(text).is_some())),
    ]],
};

/// Each month has it.
const LAST_DAY: usize = 28;
/// 09:00.
const AT: u16 = 9 * 60;
/// The most addresses of one statement.
const MOST_ADDRESSES: usize = 50;

/// `[statement.NAME]`: a mail with what was used in the last month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementConfig {
    pub name: String,
    /// The name of an `[email.NAME]`.
    pub receiver: String,
    /// Empty: the addresses of the receiver.
    pub to: Vec<String>,
    pub target: String,
    /// Absent: all users of the target.
    pub admin: Option<String>,
    /// From 1 to 28.
    pub day: i8,
    /// Local time, in minutes of the day.
    pub at: u16,
}

pub(super) fn read_all(
    root: &mut Table<'_, '_>,
    names: &Names,
    receivers: &[ReceiverTable],
) -> Vec<StatementConfig> {
    let tables = names::tables(root, "statement", "a statement", &SHAPE);
    let statements = tables.into_iter().filter_map(|(name, table)| read(name, table, names, receivers));
    let mut statements: Vec<_> = statements.collect();
    statements.sort_by(|a, b| a.name.cmp(&b.name));
    statements
}

fn read(
    name: String,
    mut table: Table<'_, '_>,
    names: &Names,
    receivers: &[ReceiverTable],
) -> Option<StatementConfig> {
    let receiver = table.take("receiver", |value| {
        let name = text(value)?;
        names.check_receiver(&name)?;
        // One that was refused is not among them.
        let known = receivers.iter().find(|receiver| receiver.name == name);
        match known.map(|known| &known.kind) {
            Some(ReceiverKind::Email(_)) | None => Ok(name),
            Some(other) => {
                Err(format!("[{}.{name}] gets no mail; write the name of an [email.NAME]", other.word()))
            }
        }
    });
    if receiver.is_absent() {
        table.refuse("receiver", "missing; write the name of an [email.NAME], such as receiver = \"ops\"");
    }
    let target = table.take("target", |value| {
        let name = text(value)?;
        names.check_target_name(&name)?;
        match names.target_word(&name).filter(|word| !kinds::has_users(word)) {
            None => Ok(name),
            Some(word) => Err(format!("[{word}.{name}] has no users; write the name of a panel")),
        }
    });
    if target.is_absent() {
        table.refuse("target", "missing; write the name of a target, such as target = \"home\"");
    }
    let admin = table.take_free_text("admin", |name| match name.trim().is_empty() {
        true => Err("an empty name; write the name of an admin, or leave it out for all users".to_owned()),
        false => Ok(()),
    });
    if let (Field::Given(target), Field::Given(admin)) = (&target, &admin)
        && let Some(word) = names.target_word(&target.value).filter(|word| !kinds::has_admins(word))
    {
        let text = format!("[{word}.{}] has no admins; leave the key out for all users", target.value);
        table.reading.refuse(&admin.place, text);
    }
    let to = email::read_addresses(&mut table);
    if let Some(to) = &to
        && to.value.len() > MOST_ADDRESSES
    {
        let text = format!("{} addresses; write at most {MOST_ADDRESSES}", to.value.len());
        table.reading.refuse(&to.place, text);
    }
    if let Some(to) = &to
        && !to.value.iter().all(|address| can_be_written(address))
    {
        let text = "an address with letters beyond ASCII; write its domain in the form that begins with xn--";
        table.reading.refuse(&to.place, text);
    }
    let day = table.take("day", day);
    let at = table.take("at", time_of_day);
    Some(StatementConfig {
        name,
        receiver: receiver.value()?,
        to: to.map(|to| to.value).unwrap_or_default(),
        target: target.value()?,
        admin: admin.value(),
        day: day.value().unwrap_or(1),
        at: at.value().unwrap_or(AT),
    })
}

/// Whether an address can be in a mail: lettre parses its own headers for each mail, and cannot parse all that it writes.
fn can_be_written(text: &str) -> bool {
    let mailbox = text.parse::<Mailbox>().ok().filter(|_| !text.chars().any(char::is_control));
    mailbox.is_some_and(|mailbox| {
        let address: &str = mailbox.email.as_ref();
        address.is_ascii() && mailbox.to_string().parse::<Mailbox>().is_ok()
    })
}

fn day(value: &DeValue<'_>) -> Result<i8, String> {
    let day = whole(value, 1)?;
    i8::try_from(day)
        .ok()
        .filter(|_| day <= LAST_DAY)
        .ok_or_else(|| format!("{day} is not a day that each month has; write a number from 1 to {LAST_DAY}"))
}
