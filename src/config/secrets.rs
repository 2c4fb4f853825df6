//! A secret comes from the configuration itself, from a separate file, or from the environment; from exactly one of them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::DeValue;

use crate::secret::Secret;

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
            Field::Given(secret)
        }
        (_, Field::Given(file), _) => read_file(table.reading, file),
        (.., Some(value)) => {
            accept(table.reading, own_place, value, &format!("the environment variable {name}"))
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
    if let Field::Given(secret) = &secret
        && let Err(text) = check(secret.value.expose())
    {
        table.reading.refuse(&secret.place, text);
        return Field::Refused;
    }
    secret
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
            Ok(()) => return Some(Placed { value: Secret::from(&*text), place }),
            Err(fault) => return refuse(format!("{fault}; {WHERE_ELSE}")),
        },
        value => return refuse(format!("{} where a secret was expected; {WHERE_ELSE}", kind(&value))),
    };
    let mut table = Table::open(reading, place.clone(), &ELSEWHERE, entries);
    let file = table.take("file", path);
    let variable = table.take("env", text);
    match (file, variable) {
        (Field::Given(file), Field::Absent) => read_file(reading, file).given(),
        (Field::Absent, Field::Given(variable)) => match (reading.env)(&variable.value) {
            Some(value) => accept(reading, variable.place, value, "the environment variable").given(),
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
        Ok((text, readers)) => {
            if readers == Readers::Everyone {
                reading.note_open_secret(&path);
            }
            reading.note_file(&path, text.as_bytes());
            accept(reading, place, text.trim_end_matches(['\r', '\n']).to_owned(), &shown.to_string())
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            reading.refuse(
                &place,
                format!("{shown} is not UTF-8 text; write the secret into it, and nothing else"),
            );
            Field::Refused
        }
        Err(error) => {
            reading.refuse(&place, format!("{shown} cannot be read: {error}"));
            Field::Refused
        }
    }
}

fn accept(reading: &Reading<'_>, place: Place, value: String, whence: &str) -> Field<Secret> {
    match check(&value) {
        Ok(()) => Field::Given(Placed { value: Secret::from(value), place }),
        Err(fault) => {
            reading.refuse(&place, format!("{whence}: {fault}; write the secret into it, and nothing else"));
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
    } else {
        Ok(())
    }
}

/// Which users can read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readers {
    /// Any user of this machine.
    Everyone,
    Some,
}

/// Reads a small file whole. Text beyond the length of any secret is cut off, so that `/dev/zero` does no harm.
fn read_text(path: &Path) -> io::Result<(String, Readers)> {
    let file = File::open(path)?;
    let readers = readers(&file)?;
    let mut text = String::new();
    file.take(64 * 1024).read_to_string(&mut text)?;
    Ok((text, readers))
}

pub(super) fn readers(file: &File) -> io::Result<Readers> {
    use std::os::unix::fs::MetadataExt;
    let mode = file.metadata()?.mode();
    Ok(if mode & 0o004 == 0 { Readers::Some } else { Readers::Everyone })
}
