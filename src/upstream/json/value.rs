//! What a JSON text may be read as.

use std::borrow::Cow;

use jiff::{civil, tz::Offset};
use serde::Deserialize;

use crate::model::Timestamp;

/// The kind of a value, for a message.
pub(super) fn kind(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The text of a number, also of one in a string.
fn number_text(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).trim();
    let is_number = inner.bytes().any(|byte| byte.is_ascii_digit())
        && inner.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    is_number.then_some(inner)
}

/// A number of bytes or items. Fractions are cut, negative numbers become 0, and numbers beyond 64 bits the maximum.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, as wanted")]
pub fn count(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let text = number_text(text)?;
    text.parse().ok().or_else(|| text.parse::<f64>().ok().map(|number| number as u64))
}

/// A whole number that fits; other numbers are none.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the bounds are checked")]
pub(super) fn integer(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let text = number_text(text)?;
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < (1_u64 << 53) as f64;
    text.parse().ok().or_else(|| text.parse().ok().filter(whole).map(|number| number as i64))
}

/// A finite number.
pub(super) fn number(text: &str) -> Option<f64> {
    number_text(text)?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// True or false.
pub fn flag(text: &str) -> Option<bool> {
    match text.trim_matches('"') {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// A string with its escapes resolved; absent if it is none, or has half of a surrogate pair.
pub(super) fn string(text: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    text.starts_with('"').then(|| serde_json::from_str(text).ok().map(|Text(text)| text)).flatten()
}

/// A point in time: Unix seconds, or a date with or without an offset. Without one, it is UTC.
#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as wanted")]
pub(super) fn time(text: &str) -> Option<Timestamp> {
    if let Some(number) = number_text(text).filter(|number| !is_date(number)) {
        return match number.parse() {
            Ok(seconds) => Some(Timestamp::from_secs(seconds)),
            Err(_) => {
                number.parse().ok().map(|seconds: f64| Timestamp::from_millis((seconds * 1000.0) as i64))
            }
        };
    }
    instant(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// A date with or without an offset. Without one, it is UTC.
pub fn instant(text: &str) -> Option<Timestamp> {
    let time = usual(text).or_else(|| {
        text.parse::<jiff::Timestamp>().ok().or_else(|| {
            let naive: civil::DateTime = text.parse().ok()?;
            Offset::UTC.to_timestamp(naive).ok()
        })
    })?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

/// The same in the form in which systems write it, `2026-11-20T19:19:44.634733+08:00`, which takes a small part of the time that
/// any other form takes.
fn usual(text: &str) -> Option<jiff::Timestamp> {
    let (date, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let number = |from: usize, to: usize| date.get(from..to).and_then(digits);
    let is_usual = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if is_usual.iter().any(|(at, byte)| date.get(*at) != Some(byte)) {
        return None;
    }
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count()),
        None => (&b"0"[..], rest),
    };
    let scale = 10_i32.checked_pow(9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?)?;
    let offset = match rest {
        [] | [b'Z'] => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', tens @ b'0'..=b'5', ones] if hours.len() == 2 => {
            let minutes = digits(hours)? * 60 + digits(&[*tens, *ones])?;
            if *sign == b'-' { -60 * minutes } else { 60 * minutes }
        }
        _ => return None,
    };
    let small = |number: i32| i8::try_from(number).ok();
    let time = civil::DateTime::new(
        i16::try_from(number(0, 4)?).ok()?,
        small(number(5, 7)?)?,
        small(number(8, 10)?)?,
        small(number(11, 13)?)?,
        small(number(14, 16)?)?,
        small(number(17, 19)?)?,
        digits(fraction)? * scale,
    );
    Offset::from_seconds(offset).ok()?.to_timestamp(time.ok()?).ok()
}

/// At most nine digits, as a number.
fn digits(text: &[u8]) -> Option<i32> {
    let is_number = (1..=9).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| text.iter().fold(0, |number, digit| number * 10 + i32::from(digit - b'0')))
}

/// Whether a text of digits and hyphens is a date, e.g. `2026-11-20`.
fn is_date(text: &str) -> bool {
    text.get(1..).is_some_and(|rest| rest.contains('-')) && !text.contains(['e', 'E'])
}

/// The first `most` bytes of a text, or fewer, so that no character is cut.
pub fn start(text: &str, most: usize) -> &str {
    let end = (0..=text.len().min(most)).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// Cuts a text to its [`start`].
pub(super) fn cut(text: &mut String, most: usize) {
    text.truncate(start(text, most).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_any_number() {
        let cases = [
            ("0", Some(0)),
            ("36986197.5", Some(36_986_197)),
            ("-1", Some(0)),
            ("-0.5", Some(0)),
            ("9223372036854775808", Some(1 << 63)),
            ("18446744073709551616", Some(u64::MAX)),
            ("1e300", Some(u64::MAX)),
            ("1e400", Some(u64::MAX)),
            ("-99999999999999999999", Some(0)),
            (r#""5""#, Some(5)),
            (r#"" 7.9 ""#, Some(7)),
            (r#""""#, None),
            (r#""five""#, None),
            (r#""NaN""#, None),
            (r#""inf""#, None),
            (r#""-""#, None),
            ("true", None),
            ("{}", None),
            ("[1]", None),
        ];
        for (text, expected) in cases {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn other_numbers_must_fit() {
        let cases = [
            ("7", Some(7), Some(7.0)),
            (r#""7""#, Some(7), Some(7.0)),
            ("7.0", Some(7), Some(7.0)),
            ("7.5", None, Some(7.5)),
            ("1e30", None, Some(1e30)),
            ("1e400", None, None),
            ("-3", Some(-3), Some(-3.0)),
            ("null", None, None),
        ];
        for (text, whole, any) in cases {
            assert_eq!((integer(text), number(text)), (whole, any), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_dates_of_many_forms() {
        let cases = [
            ("1795227833", Some(1_795_227_833_000)),
            (r#""1795227833""#, Some(1_795_227_833_000)),
            ("1795227833.5", Some(1_795_227_833_500)),
            ("0", Some(0)),
            ("-5", Some(-5000)),
            (r#""2026-11-20T19:19:44.634733""#, Some(1_795_202_384_634)),
            (r#""2026-11-20T19:19:44""#, Some(1_795_202_384_000)),
            (r#""2026-11-20T19:19:44.6""#, Some(1_795_202_384_600)),
            (r#""2026-11-20T19:19:44Z""#, Some(1_795_202_384_000)),
            (r#""2026-11-20T22:49:44.000001+03:30""#, Some(1_795_202_384_000)),
            (r#""2026-11-20""#, Some(1_795_132_800_000)),
            ("9223372036854775807", Some(i64::MAX)),
            ("18446744073709551615", Some(i64::MAX)),
            (r#""tomorrow""#, None),
            ("true", None),
            (r#""""#, None),
            ("{}", None),
        ];
        for (text, millis) in cases {
            assert_eq!(time(text).map(Timestamp::as_millis), millis, "{text}");
        }
    }

    #[test]
    fn a_time_in_the_usual_form_is_what_it_is_in_any() {
        let any = |text: &str| {
            let naive = || Offset::UTC.to_timestamp(text.parse().ok()?).ok();
            text.parse::<jiff::Timestamp>().ok().or_else(naive)
        };
        let mut random = fastrand::Rng::with_seed(3);
        let (mut read, mut others) = (0, 0);
        for _ in 0..20_000 {
            let forms = ["2026-11-20T19:19:44.634733+08:00", "2024-02-29T23:59:59Z", "1969-12-31T00:00:00.5"];
            let mut text = random.choice(forms).unwrap().as_bytes().to_vec();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(..text.len());
                text[at] = *random.choice(b"0123456789+-:.TZ").unwrap();
            }
            let text = String::from_utf8(text).unwrap();
            match usual(&text) {
                Some(time) => {
                    read += 1;
                    assert_eq!(Some(time), any(&text), "{text}");
                }
                None => others += 1,
            }
        }
        assert!(read > 5000 && others > 1000, "{read} {others}");
    }

    #[test]
    fn flags_are_words_or_bits() {
        let cases = [
            ("true", Some(true)),
            (r#""false""#, Some(false)),
            ("1", Some(true)),
            ("0", Some(false)),
            ("2", None),
        ];
        for (text, expected) in cases {
            assert_eq!(flag(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        for (most, expected) in [(5, "añ"), (7, "añ🙂"), (2, "a")] {
            let mut text = "añ🙂".to_owned();
            cut(&mut text, most);
            assert_eq!(text, expected, "{most}");
        }
    }
}
