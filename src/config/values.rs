//! Values as people write them. Each error says what was seen and what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use humantime::format_duration;
use jiff::tz::TimeZone;
use toml::de::DeValue;

use crate::{model::Severity, wording::Language};

use super::placeholders;

/// Far from the end of the calendar when added to a time.
const LONGEST: Duration = Duration::from_secs(3653 * 24 * 60 * 60);

/// A line of text that is no placeholder. Errors do not quote it, because it may be a secret.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = free_text(value)?;
    match placeholders::certain(&text) {
        Some(form) => Err(placeholders::error(form, "write the value itself")),
        None => Ok(text),
    }
}

/// A line of text that may have any characters.
pub(super) fn free_text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if text.trim().is_empty() => {
            Err("empty; write a value or leave the key out".to_owned())
        }
        DeValue::String(text) if text.contains(char::is_control) => {
            Err("text with a line break or control character; write it without".to_owned())
        }
        DeValue::String(text) => Ok(text.clone().into_owned()),
        _ => Err(format!("{} where text was expected; write it in quotes", kind(value))),
    }
}

/// The path of a file or folder. No shell and no service manager has replaced anything in it.
pub(super) fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    let path = text(value)?;
    if path == "~" || path.starts_with("~/") {
        return Err("~ is not replaced by a folder; write the whole path".to_owned());
    }
    if path.starts_with("%d/") {
        return Err("%d is replaced in units of systemd alone; write the whole path, which begins with /run/credentials/"
            .to_owned());
    }
    if path.starts_with("file://") {
        return Err("a URL where a path was expected; leave out file://".to_owned());
    }
    Ok(PathBuf::from(path))
}

pub(super) fn switch(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(value) => Ok(*value),
        _ => Err(format!("{}; write true or false, without quotes", describe(value))),
    }
}

/// `write one of a, b, c`, or just the one.
pub(super) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    format!("write {}{}", if words.len() > 1 { "one of " } else { "" }, words.join(", "))
}

/// A language that notifications are written in.
pub(super) fn language(value: &DeValue<'_>) -> Result<Language, String> {
    let word = text(value)?;
    let words = Language::ALL.map(Language::label);
    Language::from_label(&word).ok_or_else(|| format!("no such language; {}", one_of(&words)))
}

pub(super) fn is_language(word: &str) -> bool {
    Language::from_label(word).is_some()
}

/// A time zone by its IANA name.
pub(super) fn zone(value: &DeValue<'_>) -> Result<TimeZone, String> {
    let name = text(value)?;
    TimeZone::get(&name).map_err(|_| {
        format!("no time zone is named {name:?}; write an IANA name such as \"Asia/Shanghai\", or \"UTC\"")
    })
}

pub(super) fn is_zone(name: &str) -> bool {
    TimeZone::get(name).is_ok()
}

/// One of a few words.
pub(super) fn choice<T: Copy>(value: &DeValue<'_>, choices: &[(&str, T)]) -> Result<T, String> {
    let seen = match value {
        DeValue::String(text) => match choices.iter().find(|(word, _)| word == text) {
            Some(&(_, choice)) => return Ok(choice),
            None => format!("{text:?}"),
        },
        _ => describe(value),
    };
    Err(format!("{seen} is not a choice; write {}", alternatives(choices.iter().map(|(word, _)| word))))
}

/// Whether a text is one of the words that [`choice`] takes.
pub(super) fn is_choice<T>(text: &str, choices: &[(&str, T)]) -> bool {
    choices.iter().any(|(word, _)| *word == text)
}

const SEVERITIES: [Severity; 3] = [Severity::Info, Severity::Warning, Severity::Critical];

pub(super) fn severity(value: &DeValue<'_>) -> Result<Severity, String> {
    choice(value, &SEVERITIES.map(|severity| (severity.label(), severity)))
}

pub(super) fn is_severity(text: &str) -> bool {
    SEVERITIES.iter().any(|severity| severity.label() == text)
}

/// `"a", "b" or "c"`.
pub(super) fn alternatives<T: fmt::Debug>(words: impl IntoIterator<Item = T>) -> String {
    let mut words: Vec<_> = words.into_iter().map(|word| format!("{word:?}")).collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

/// A whole number from 1.
pub(super) fn count(value: &DeValue<'_>) -> Result<usize, String> {
    whole(value, 1)
}

/// A whole number from `least`.
pub(super) fn whole(value: &DeValue<'_>, least: usize) -> Result<usize, String> {
    let number = match value {
        DeValue::Integer(digits) => usize::from_str_radix(digits.as_str(), digits.radix()).ok(),
        _ => None,
    };
    number.filter(|&number| number >= least).ok_or_else(|| {
        format!("{}; write a whole number of at least {least}, without quotes", describe(value))
    })
}

/// A duration in humantime's notation.
pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, String> {
    match value {
        DeValue::String(text) => match humantime::parse_duration(text) {
            Ok(duration) if duration > LONGEST => {
                Err(format!("{text:?} is longer than ten years; write a shorter duration"))
            }
            Ok(duration) => Ok(duration),
            Err(_) => Err(format!(
                "{text:?} is not a duration; write numbers with units, such as \"30s\" or \"1h 30m\""
            )),
        },
        DeValue::Integer(number) => {
            Err(format!("{} has no unit; write \"{number}s\" for seconds", describe(value)))
        }
        _ => Err(format!("{}; write a duration such as \"30s\"", describe(value))),
    }
}

/// A duration above zero.
pub(super) fn above_zero(value: &DeValue<'_>) -> Result<Duration, String> {
    let duration = duration(value)?;
    if duration.is_zero() { Err("zero; write more than \"0s\"".to_owned()) } else { Ok(duration) }
}

/// A duration of at least `least`.
pub(super) fn at_least(least: Duration, value: &DeValue<'_>) -> Result<Duration, String> {
    let duration = duration(value)?;
    if duration < least {
        let (seen, least) = (format_duration(duration), format_duration(least));
        return Err(format!("{seen} is too short; write at least \"{least}\""));
    }
    Ok(duration)
}

/// Bytes above zero: a number with a unit, of thousands ("20TB") or of 1,024 ("500GiB").
pub(super) fn size(value: &DeValue<'_>) -> Result<u64, String> {
    const EXAMPLE: &str = "write a number with a unit, such as \"500GiB\" or \"20TB\"";
    let DeValue::String(text) = value else { return Err(format!("{}; {EXAMPLE}", describe(value))) };
    let digits = text.trim().find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = digits.and_then(|end| text.trim().split_at_checked(end)).unwrap_or((text, ""));
    let Some(factor) = unit_of_size(unit.trim_start()) else {
        return Err(format!("{text:?} is not a size; {EXAMPLE}"));
    };
    let bytes = number.parse::<f64>().map_err(|_| format!("{text:?} is not a size; {EXAMPLE}"))? * factor;
    if !(1.0..=1e18).contains(&bytes) {
        return Err(format!("{text:?} is out of range; write a size from \"1B\" to \"1000PB\""));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 1e18 by the check above"
    )]
    let bytes = bytes.round() as u64;
    Ok(bytes)
}

/// Whether a text looks like a size.
pub(super) fn is_size(text: &str) -> bool {
    size(&DeValue::String(text.into())).is_ok()
}

fn unit_of_size(unit: &str) -> Option<f64> {
    let unit = unit.to_ascii_lowercase();
    let prefix = unit.strip_suffix('b')?;
    let (prefix, base) = prefix.strip_suffix('i').map_or((prefix, 1000.0), |prefix| (prefix, 1024.0_f64));
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == prefix)?;
    (base < 1024.0 || power > 0).then(|| base.powi(i32::try_from(power).unwrap_or(0)))
}

/// Whether a text looks like a duration or a share.
pub(super) fn is_quantity(text: &str) -> bool {
    let share = |text: &str| text.trim().parse::<f64>().is_ok();
    humantime::parse_duration(text).is_ok() || text.strip_suffix('%').is_some_and(share)
}

/// A share above 0 and up to 1, written "10%" or 0.1.
///
/// Whole numbers are refused, as 1 may mean one percent or all.
pub(super) fn ratio(value: &DeValue<'_>) -> Result<f64, String> {
    let example = "write a share such as \"10%\" or 0.1";
    match value {
        DeValue::Float(number) => {
            number.as_str().parse().map_err(|_| format!("{}; {example}", describe(value)))
        }
        DeValue::Integer(number) => {
            Err(format!("{}, which may mean percent or not; write \"{number}%\"", describe(value)))
        }
        DeValue::String(text) => match text.strip_suffix('%').map(|number| number.trim().parse::<f64>()) {
            Some(Ok(percent)) => Ok(percent / 100.0),
            Some(Err(_)) | None => Err(format!("{text:?} is not a share; {example}")),
        },
        _ => Err(format!("{}; {example}", describe(value))),
    }
}

/// What a value is, for a message. Texts are not quoted, because they may be secrets in the wrong place.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        _ => kind(value).to_owned(),
    }
}

/// The same without any value, for places where numbers may be secrets, too.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_thousands_or_of_1024() {
        let read = |text: &str| size(&DeValue::String(text.into())).ok();
        for (text, expected) in [
            ("1B", Some(1)),
            ("20TB", Some(20_000_000_000_000)),
            ("1.5 GiB", Some(1_610_612_736)),
            ("100gb", Some(100_000_000_000)),
            ("2kB", Some(2000)),
            ("1 KiB", Some(1024)),
            ("1000PB", Some(1_000_000_000_000_000_000)),
            ("1001PB", None),
            ("0GB", None),
            ("0.1B", None),
            ("5", None),
            ("5iB", None),
            ("5G", None),
            ("GB", None),
            ("-1GB", None),
            ("1e3GB", None),
            ("1..5GB", None),
            ("", None),
            ("5 EiB", None),
            ("٥GB", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
