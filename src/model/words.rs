//! Quantities in human-readable form, the same in notices, pages and answers.

use std::{borrow::Cow, time::Duration};

use super::{BudgetUnit, Timestamp};

/// Formats a duration in its two largest units, e.g. `2d 3h`.
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60), ("s", secs % 60)];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else { return "0s".to_owned() };
    let told = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    told.map(|(unit, count)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

/// Formats a duration that was estimated, e.g. `about 45 min`.
pub fn about(duration: Duration) -> String {
    match duration.as_secs().div_ceil(60) {
        0 | 1 if duration.as_secs() < 60 => "less than a minute".to_owned(),
        minutes @ 0..=20 => format!("about {minutes} min"),
        minutes @ 21..118 => format!("about {} min", (minutes + 2) / 5 * 5),
        minutes => {
            let tens = (minutes + 5) / 10;
            let rest = if tens % 6 == 0 { String::new() } else { format!(" {} min", tens % 6 * 10) };
            format!("about {} h{rest}", tens / 6)
        }
    }
}

/// Formats a number of rows of a list.
pub fn rows(rows: usize) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

/// Formats a number as people write long ones, e.g. `4,213`. What does not fit `u64` is its largest.
pub fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats what a budget counts. Money is rounded down to the cent, so that a limit that is not reached does not look
/// reached.
pub fn amount(amount: u64, unit: BudgetUnit) -> String {
    const CENT: u64 = 10_000_000;
    match unit {
        BudgetUnit::Tokens => format!("{} tokens", count(amount)),
        BudgetUnit::UsdNanos => {
            format!("{}.{:02} USD", count(amount / (CENT * 100)), amount / CENT % 100)
        }
    }
}

pub fn percent(percent: u128) -> String {
    format!("{percent}%")
}

/// Formats bytes with at most one decimal, rounded down, so that a limit that is not reached does not look reached.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = bytes.max(1).ilog2() / 10;
    let Some(unit) = exponent.checked_sub(1).and_then(|at| UNITS.get(usize::try_from(at).ok()?)) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> (exponent * 10);
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Formats a time as RFC 3339 in UTC, to the second.
pub fn date(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_secs()).map_or_else(|_| "never".to_owned(), |time| time.to_string())
}

/// An untrusted text on one line, at most `most` characters long.
pub fn one_line(text: &str, most: usize) -> String {
    line(text, most, turns_direction)
}

/// The same of a sentence whose names are harmless already. What isolates them stays, and ends with
/// the text.
pub fn sentence(text: &str, most: usize) -> String {
    let mut line = line(text, most, |c| turns_direction(c) && !matches!(c, '\u{2068}' | '\u{2069}'));
    // Where the text was cut, what isolates a name would isolate all that follows.
    let count = |mark| line.matches(mark).count();
    let open = count('\u{2068}').saturating_sub(count('\u{2069}'));
    line.extend(std::iter::repeat_n('\u{2069}', open));
    line
}

fn line(text: &str, most: usize, is_harmful: fn(char) -> bool) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        for c in (length > 0).then_some(' ').into_iter().chain(word.chars()) {
            length += 1;
            if length > most {
                line.pop();
                line.push('…');
                return line;
            }
            line.push(if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c });
        }
    }
    line
}

/// Embeddings, overrides and isolates (Unicode Standard Annex 9). The plain marks, which Persian and Arabic texts
/// need, affect only the adjacent characters.
pub fn turns_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A name as a cell. Spreadsheets would take one that begins like a formula for one, some also with signs of double width, so
/// an apostrophe comes before it. All characters stay: a cell is for programs, and may have several lines.
pub fn csv_cell(text: &str) -> Cow<'_, str> {
    let is_formula = text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r', '\n', '\0']);
    let is_plain = !is_formula && !text.contains([',', '"', '\r', '\n', ';', '\'']);
    if is_plain {
        return text.into();
    }
    let before = if is_formula { "'" } else { "" };
    format!("\"{before}{}\"", text.replace('"', "\"\"")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_bytes_are_readable() {
        let cases = [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3600, "1h"), (86_461, "1d"), (183_600, "2d 3h")];
        for (secs, text) in cases {
            assert_eq!(duration(Duration::from_secs(secs)), text);
        }
        let cases = [
            (0, "less than a minute"),
            (59, "less than a minute"),
            (60, "about 1 min"),
            (61, "about 2 min"),
            (1_201, "about 20 min"),
            (2_640, "about 45 min"),
            (7_020, "about 115 min"),
            (7_080, "about 2 h"),
            (9_120, "about 2 h 30 min"),
            (86_400, "about 24 h"),
        ];
        for (secs, text) in cases {
            assert_eq!(about(Duration::from_secs(secs)), text);
        }
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1_610_612_736, "1.5 GiB"),
            (107_374_182_399, "99.9 GiB"),
            (u64::MAX, "15.9 EiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn counts_and_amounts_are_readable() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        let cases = [
            (5_000_000, BudgetUnit::Tokens, "5,000,000 tokens"),
            (0, BudgetUnit::UsdNanos, "0.00 USD"),
            (49_999_999_999, BudgetUnit::UsdNanos, "49.99 USD"),
            (1_234_050_000_000, BudgetUnit::UsdNanos, "1,234.05 USD"),
        ];
        for (number, unit, text) in cases {
            assert_eq!(amount(number, unit), text);
        }
    }

    #[test]
    fn texts_of_others_are_made_harmless() {
        for (text, most, harmless) in [
            ("alice", 10, "alice"),
            ("  a\r\nBcc: b\t\tc\0\u{7f}\u{85}\u{2028}d  ", 100, "a Bcc: b c d"),
            ("\u{202e}txt.exe\u{2066}", 100, "\u{fffd}txt.exe\u{fffd}"),
            ("\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}", 10, "می‌خواهم"),
            ("0123456789", 10, "0123456789"),
            ("01234567 9", 10, "01234567 9"),
            ("0123456789a", 10, "012345678…"),
            ("йййййййййййй", 10, "ййййййййй…"),
            ("\r\n.\r\n", 10, "."),
            ("", 10, ""),
        ] {
            assert_eq!(one_line(text, most), harmless, "{text:?}");
        }
    }

    #[test]
    fn what_isolates_a_name_is_closed_where_a_sentence_is_cut() {
        for (text, most, cut) in [
            ("Node \u{2068}خانه\u{2069} is down", 20, "Node \u{2068}خانه\u{2069} is down"),
            ("Node \u{2068}خانه\u{2069} is down", 14, "Node \u{2068}خانه\u{2069} i…"),
            ("Node \u{2068}خانه\u{2069} is down", 9, "Node \u{2068}خا…\u{2069}"),
            ("\u{2068}a \u{2068}b\u{2069} c\u{2069}", 5, "\u{2068}a \u{2068}…\u{2069}\u{2069}"),
            ("\u{202e}a", 9, "\u{fffd}a"),
        ] {
            assert_eq!(sentence(text, most), cut, "{text:?}");
        }
    }
}
