//! A secret comes from the configuration itself, from a separate file, or from the environment; from exactly one of them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::file::{self, ReadError};
use crate::secret::Secret;

use super::placeholders;
use super::reading::{Place, Reading};
use super::shape::{Shape, Show::Hidden};
use super::table::{Field, Placed, Table};
use super::values::{kind, path, text};

/// The name of the variable that may hold the secret of a key: `PROXYMETER_` and the key, with `_` for `-` and dots.
pub(super) fn variable(place: &Place) -> String {
    format!("PROXYMETER_{}", place.key).replace(['-', '.'], "_").to_ascii_uppercase()
}

/// Takes a secret from its key, from the file that the key with `_file` names, or from the environment.
pub(super) fn take(table: &mut Table<'_, '_>, key: &str) -> Field<Secret> {
    take_as(table, key, inline)
}

/// Likewise, but `inline` reads what the key itself has.
pub(super) fn take_as(
    table: &mut Table<'_, '_>,
    key: &str,
    inline: fn(&DeValue<'_>) -> Result<Secret, String>,
) -> Field<Secret> {
    let file_key = format!("{key}_file");
    let inline = table.take(key, inline);
    let file = table.take(&file_key, path);
    let own_place = table.place.below(key);
    let name = variable(&own_place);
    let variable = (table.reading.env)(&name);
    if variable.is_some()
        && let Some(other) = table.reading.claim_variable(&name, &own_place)
    {
        let text =
            format!("the environment variable {name} would be {other} as well; rename one of the tables");
        table.reading.refuse(&own_place, text);
    }

    let given: Vec<&str> = [
        (!inline.is_absent()).then_some(key),
        (!file.is_absent()).then_some(&*file_key),
        variable.is_some().then_some(&*name),
    ]
    .into_iter()
    .flatten()
    .collect();
    if given.len() > 1 {
        let text = format!("given more than once, by {}; keep one of them", given.join(" and "));
        let places = [inline.given().map(|inline| inline.place), file.given().map(|file| file.place)];
        let place = places.into_iter().flatten().max_by_key(|place| place.offset).unwrap_or(own_place);
        table.reading.refuse(&place, text);
        return Field::Refused;
    }

    match (inline, file, variable) {
        (Field::Given(secret), ..) => {
            // A proxy's URL is a secret only if it has a password, and the id of a chat opens nothing.
            let is_secret = match key {
                "proxy" => secret.value.expose().contains('@'),
                "chat_id" => false,
                _ => true,
            };
            if is_secret {
                table.reading.note_inline_secret(&secret.place.key);
            }
            let instead = format!("set {name} instead, or write {file_key}");
            doubt(table.reading, &secret.place, secret.value.expose(), "", &instead);
            Field::Given(secret)
        }
        (_, Field::Given(file), _) => read_file(table.reading, file),
        (.., Some(value)) => {
            accept(table.reading, own_place, &value, &format!("the environment variable {name}"))
        }
        (Field::Absent, Field::Absent, None) => Field::Absent,
        (..) => Field::Refused,
    }
}

/// Takes a secret that must pass `check`.
pub(super) fn take_checked(
    table: &mut Table<'_, '_>,
    key: &str,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Field<Secret> {
    let secret = take(table, key);
    checked(table.reading, secret, check)
}

/// Refuses a secret that does not pass `check`. If a placeholder is why, the error names that.
pub(super) fn checked(
    reading: &Reading<'_>,
    secret: Field<Secret>,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Field<Secret> {
    let Field::Given(Placed { value, place }) = &secret else { return secret };
    let Err(text) = check(value.expose()) else { return secret };
    let text = match (placeholders::certain(value.expose()), text.split_once("; ")) {
        (Some(form), Some((_, advice))) => placeholders::error(form, advice),
        (..) => text,
    };
    reading.refuse(place, text);
    Field::Refused
}

/// The secret of a header: text, or a table that says where the secret is.
pub(super) fn of_value(reading: &Reading<'_>, value: Placed<DeValue<'_>>) -> Option<Placed<Secret>> {
    let Placed { value, place } = value;
    let refuse = |text: String| {
        reading.refuse(&place, text);
        None
    };
    let entries = match value {
        DeValue::Table(entries) => entries,
        DeValue::String(text) => match check(&text) {
            Ok(()) => {
                reading.note_inline_secret(&place.key);
                doubt(reading, &place, &text, "", WHERE_ELSE);
                return Some(Placed { value: Secret::from(&*text), place });
            }
            Err(fault) => return refuse(format!("{fault}; {WHERE_ELSE}")),
        },
        value => return refuse(format!("{} where a secret was expected; {WHERE_ELSE}", kind(&value))),
    };
    let mut table = Table::open(reading, place.clone(), &ELSEWHERE, entries);
    let file = table.take("file", path);
    let variable = table.take("env", |value| match value {
        DeValue::String(name) if name.starts_with(['$', '%']) => {
            Err("a sign where a variable's name was expected; write the name alone".to_owned())
        }
        value => text(value),
    });
    match (file, variable) {
        (Field::Given(file), Field::Absent) => read_file(reading, file).given(),
        (Field::Absent, Field::Given(variable)) => match (reading.env)(&variable.value) {
            Some(value) => accept(reading, variable.place, &value, "the environment variable").given(),
            None => {
                // The name is not quoted, because it may be the secret itself in the wrong place.
                reading.refuse(&variable.place, "the environment has no such variable; set it");
                None
            }
        },
        (Field::Refused, _) | (_, Field::Refused) => None,
        (Field::Absent, Field::Absent) => refuse(format!("a table without file or env; {WHERE_ELSE}")),
        (Field::Given(_), Field::Given(_)) => refuse("both file and env; keep one of them".to_owned()),
    }
}

const WHERE_ELSE: &str = "write the secret in quotes, or { file = \"…\" } or { env = \"…\" }";

/// A table that says where the secret of a header is.
const ELSEWHERE: Shape =
    Shape { title: "the table in place of a header's value", keys: &[&[("file", Hidden), ("env", Hidden)]] };

/// A secret that the configuration itself contains. The error never quotes the value.
fn inline(value: &DeValue<'_>) -> Result<Secret, String> {
    match value {
        DeValue::String(text) => {
            check(text)
                .map_err(|fault| format!("{fault}; write the secret, or name its file by a key in _file"))?;
            Ok(Secret::from(&**text))
        }
        _ => Err(format!("{} where a secret was expected; write it in quotes", kind(value))),
    }
}

pub(super) fn read_file(reading: &Reading<'_>, file: Placed<PathBuf>) -> Field<Secret> {
    let Placed { value, place } = file;
    let path = reading.resolve(&value);
    let shown = path.display();
    match read_text(&path) {
        Ok((content, readers)) => {
            if readers == Readers::Everyone {
                reading.note_open_secret(&path);
            }
            reading.note_file(&path, &content);
            match String::from_utf8(content) {
                Ok(text) => accept(reading, place, &text, &shown.to_string()),
                Err(_) => {
                    let text = format!("{shown}: not UTF-8 text; {INTO_IT}");
                    reading.refuse(&place, text);
                    Field::Refused
                }
            }
        }
        Err(error) => {
            reading.refuse(&place, format!("{shown}: {error}"));
            Field::Refused
        }
    }
}

const INTO_IT: &str = "write the secret into it, and nothing else";

/// Takes a secret from a file or a variable, where line breaks at its end are no part of it.
fn accept(reading: &Reading<'_>, place: Place, text: &str, whence: &str) -> Field<Secret> {
    let secret = text.trim_end_matches(['\r', '\n']);
    match check(secret) {
        Ok(()) => {
            doubt(reading, &place, secret, &format!("{whence}: "), INTO_IT);
            Field::Given(Placed { value: Secret::from(secret), place })
        }
        Err(fault) => {
            reading.refuse(&place, format!("{whence}: {fault}; {INTO_IT}"));
            Field::Refused
        }
    }
}

fn check(secret: &str) -> Result<(), &'static str> {
    if secret.is_empty() {
        Err("empty")
    } else if secret.contains(['\r', '\n']) {
        Err("more than one line")
    } else if secret.contains(char::is_control) {
        Err("has a control character")
    } else if secret.trim().is_empty() {
        Err("empty but for spaces")
    } else {
        Ok(())
    }
}

/// Warns of what a secret may be, but probably is not. `whence` is where it is, and `instead` what to do about a
/// placeholder.
fn doubt(reading: &Reading<'_>, place: &Place, secret: &str, whence: &str, instead: &str) {
    let quotes = ['"', '\'', '`', '“', '”'];
    if let Some(what) = placeholders::likely(secret) {
        reading.warn(place, format_args!("{whence}looks like {what}; {instead}"));
    } else if secret.trim() != secret {
        reading.warn(
            place,
            format_args!("{whence}starts or ends with a space, which is sent as well; remove it unless it belongs there"),
        );
    } else if secret.chars().count() > 1 && secret.starts_with(quotes) && secret.ends_with(quotes) {
        reading.warn(
            place,
            format_args!(
                "{whence}is in quotes, which are sent as well; remove them unless they belong there"
            ),
        );
    } else if secret.contains(INVISIBLE) {
        reading.warn(
            place,
            format_args!(
                "{whence}has an invisible character, which is sent as well; type the secret, or copy it again"
            ),
        );
    }
}

/// Characters that come along when text is copied from a page.
const INVISIBLE: fn(char) -> bool =
    |c| matches!(c, '\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');

/// Which users can read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Any user of this machine.
    Everyone,
    Some,
}

/// Longer than any secret.
const LONGEST: u64 = 64 * 1024;

fn read_text(path: &Path) -> Result<(Vec<u8>, Readers), ReadError> {
    let file = file::open(path)?;
    Ok((file::read_open(&file, LONGEST)?, readers(&file)?))
}

pub(super) fn readers(file: &File) -> io::Result<Readers> {
    use std::os::unix::fs::MetadataExt;
    let mode = file.metadata()?.mode();
    Ok(if mode & 0o004 == 0 { Readers::Some } else { Readers::Everyone })
}
