//! The text formats: heads of families, series with escaped labels, and numbers.

use std::time::Duration;

use crate::model::Timestamp;

use super::{
    chunk::ByFamily,
    family::{Family, Kind},
    format::Format,
};

/// Room for the line that fills a buffer, so that it rarely grows.
const LINE: usize = 4096;

/// What follows the labels of a series.
const CLOSING: &[u8] = b"} ";

/// Text being written. Families are written one after the other, see [`Text::family`].
pub(super) struct Text<'s> {
    format: Format,
    buffer: Vec<u8>,
    /// A full buffer has so many bytes, and some more.
    full: usize,
    sink: Sink<'s>,
}

/// Where text goes.
pub(super) enum Sink<'s> {
    /// Takes full buffers of one text, in which each family has a head.
    Whole(&'s mut dyn FnMut(&mut Vec<u8>)),
    /// Keeps the families apart. They get their heads when they are put together.
    Apart(ByFamily<'s>),
}

impl<'s> Text<'s> {
    /// Buffers that are handed over have about `full` bytes.
    pub(super) fn new(format: Format, full: usize, sink: Sink<'s>) -> Self {
        Text { format, buffer: Vec::with_capacity(full + LINE), full, sink }
    }

    /// All of the text is handed over at once, in `buffer`.
    pub(super) fn into(buffer: Vec<u8>, format: Format, sink: Sink<'s>) -> Self {
        Text { format, buffer, full: usize::MAX, sink }
    }

    /// Begins a family. Its head is written with its first series; without series there is no head.
    pub(super) fn family<'t>(&'t mut self, family: &'t Family<'t>) -> Series<'t, 's> {
        if let Sink::Apart(families) = &mut self.sink {
            families.begin(family.name, &mut self.buffer);
        }
        Series { text: self, family, opening: Vec::new(), row: Vec::new() }
    }

    pub(super) fn raw(&mut self, text: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
    }

    /// `# HELP`, `# TYPE` and, where the format has it, `# UNIT` of a family.
    pub(super) fn head(&mut self, family: &Family<'_>) {
        let name = family.name;
        let (name, kind) = match (self.format, family.kind) {
            (Format::OpenMetrics, Kind::Counter) => (name.strip_suffix("_total").unwrap_or(name), "counter"),
            (Format::OpenMetrics, Kind::Info) => (name.strip_suffix("_info").unwrap_or(name), "info"),
            (Format::Classic, Kind::Counter) => (name, "counter"),
            (Format::Classic, Kind::Info) | (_, Kind::Gauge) => (name, "gauge"),
            (_, Kind::Histogram) => (name, "histogram"),
        };
        self.raw("# HELP ");
        self.raw(name);
        self.raw(" ");
        for char in family.help.chars() {
            match char {
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '"' if self.format == Format::OpenMetrics => self.raw("\\\""),
                _ => self.raw(char.encode_utf8(&mut [0; 4])),
            }
        }
        self.raw("\n# TYPE ");
        self.raw(name);
        self.raw(" ");
        self.raw(kind);
        self.raw("\n");
        let unit = ["seconds", "bytes", "ratio"]
            .into_iter()
            .find(|unit| name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
        if let (Format::OpenMetrics, Some(unit)) = (self.format, unit) {
            self.raw("# UNIT ");
            self.raw(name);
            self.raw(" ");
            self.raw(unit);
            self.raw("\n");
        }
    }

    /// The end of a whole answer.
    pub(super) fn end(&mut self) {
        if self.format == Format::OpenMetrics {
            self.raw("# EOF\n");
        }
    }

    /// A whole line, of a family whose head is written.
    pub(super) fn sample<'a>(
        &mut self,
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: impl Into<Number>,
    ) {
        self.raw(name);
        let mut separator = "{";
        for (name, value) in labels {
            self.raw(separator);
            push_label(&mut self.buffer, name, value);
            separator = ",";
        }
        if separator == "," {
            self.raw("}");
        }
        self.buffer.push(b' ');
        value.into().push_to(&mut self.buffer);
        self.buffer.push(b'\n');
        self.line_done();
    }

    fn line_done(&mut self) {
        if self.buffer.len() >= self.full {
            match &mut self.sink {
                Sink::Whole(take) => take(&mut self.buffer),
                Sink::Apart(families) => families.take(&mut self.buffer),
            }
        }
    }

    /// Hands over the rest.
    pub(super) fn finish(mut self) {
        match &mut self.sink {
            Sink::Whole(_) if self.buffer.is_empty() => {}
            Sink::Whole(take) => take(&mut self.buffer),
            Sink::Apart(families) => families.end(&mut self.buffer),
        }
    }
}

/// The head of a family.
pub(super) fn head(format: Format, family: &Family<'_>) -> Vec<u8> {
    let mut head = Vec::new();
    let mut take = |text: &mut Vec<u8>| head.append(text);
    let mut text = Text::into(Vec::new(), format, Sink::Whole(&mut take));
    text.head(family);
    text.finish();
    head
}

/// The series of one family, written one by one.
pub(super) struct Series<'t, 's> {
    text: &'t mut Text<'s>,
    family: &'t Family<'t>,
    /// The line's start, up to the labels; empty until there is a series.
    opening: Vec<u8>,
    /// The start of a user's line, up to the value of that label.
    row: Vec<u8>,
}

impl Series<'_, '_> {
    fn begin(&mut self) {
        if self.opening.is_empty() {
            if let Sink::Whole(_) = self.text.sink {
                self.text.head(self.family);
            }
            let brace: &[u8] = if self.family.labels.is_empty() { b"" } else { b"{" };
            self.opening = [self.family.name.as_bytes(), brace].concat();
        }
    }

    /// A series with the values of all the family's labels.
    pub(super) fn add(&mut self, labels: &[&str], value: impl Into<Number>) {
        self.begin();
        let buffer = &mut self.text.buffer;
        buffer.extend_from_slice(&self.opening);
        for (at, (name, value)) in self.family.labels.iter().zip(labels).enumerate() {
            if at > 0 {
                buffer.push(b',');
            }
            push_label(buffer, name, value);
        }
        buffer.extend_from_slice(if labels.is_empty() { b" " } else { CLOSING });
        self.end_line(value);
    }

    /// The series of users that follow are of this target.
    pub(super) fn of_target(&mut self, target: &str) {
        self.row = [self.family.name.as_bytes(), b"{"].concat();
        push_label(&mut self.row, "target", target);
        self.row.extend_from_slice(b",user=\"");
    }

    /// A series of a user of the target, without other labels.
    pub(super) fn add_user(&mut self, user: &str, value: impl Into<Number>) {
        self.begin();
        let buffer = &mut self.text.buffer;
        buffer.extend_from_slice(&self.row);
        push_value(buffer, user);
        buffer.extend_from_slice(b"\"} ");
        self.end_line(value);
    }

    /// A series of a user of the target with the value of one more label, which is 1.
    pub(super) fn add_user_with(&mut self, user: &str, label: &str) {
        self.begin();
        let buffer = &mut self.text.buffer;
        buffer.extend_from_slice(&self.row);
        push_value(buffer, user);
        buffer.extend_from_slice(b"\",");
        push_label(buffer, self.family.labels.last().unwrap_or(&""), label);
        buffer.extend_from_slice(CLOSING);
        self.end_line(true);
    }

    fn end_line(&mut self, value: impl Into<Number>) {
        value.into().push_to(&mut self.text.buffer);
        self.text.buffer.push(b'\n');
        self.text.line_done();
    }

    /// The series of a histogram. `buckets` are upper bounds in ascending order, each with the number of observations
    /// up to it. The bucket for infinity is made from `count`; an infinite bound in `buckets` is ignored.
    pub(super) fn add_histogram(
        &mut self,
        labels: &[&str],
        buckets: impl IntoIterator<Item = (f64, u64)>,
        sum: impl Into<Number>,
        count: u64,
    ) {
        self.begin();
        let mut sample = |suffix, bound: Option<&str>, value: Number| {
            let name = [self.family.name, suffix].concat();
            let labels = self.family.labels.iter().copied().zip(labels.iter().copied());
            self.text.sample(&name, labels.chain(bound.map(|bound| ("le", bound))), value);
        };
        for (bound, count) in buckets.into_iter().filter(|(bound, _)| bound.is_finite()) {
            // OpenMetrics asks for "1.0", not "1".
            sample("_bucket", Some(ryu::Buffer::new().format(bound)), count.into());
        }
        sample("_bucket", Some("+Inf"), count.into());
        sample("_sum", None, sum.into());
        sample("_count", None, count.into());
    }
}

/// Writes `name="value"`.
fn push_label(buffer: &mut Vec<u8>, name: &str, value: &str) {
    buffer.extend_from_slice(name.as_bytes());
    buffer.extend_from_slice(b"=\"");
    push_value(buffer, value);
    buffer.push(b'"');
}

/// Writes the value of a label. Only what must be escaped is changed.
fn push_value(buffer: &mut Vec<u8>, value: &str) {
    // Without an early exit, which is faster for short names.
    if value.bytes().fold(false, |found, byte| found | matches!(byte, b'\\' | b'"' | b'\n')) {
        for byte in value.bytes() {
            match byte {
                b'\\' => buffer.extend_from_slice(b"\\\\"),
                b'"' => buffer.extend_from_slice(b"\\\""),
                b'\n' => buffer.extend_from_slice(b"\\n"),
                _ => buffer.push(byte),
            }
        }
    } else {
        buffer.extend_from_slice(value.as_bytes());
    }
}

/// A sample's value.
pub(super) enum Number {
    Whole(u64),
    Real(f64),
    /// Seconds, given in thousandths.
    Millis(i64),
    /// Seconds or US dollars, given in billionths.
    Nanos(u64),
}

impl Number {
    fn push_to(self, buffer: &mut Vec<u8>) {
        match self {
            Number::Whole(value) => buffer.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Number::Real(value) => push_real(buffer, value),
            Number::Millis(value) => {
                if value < 0 {
                    buffer.push(b'-');
                }
                push_decimal(buffer, value.unsigned_abs(), 1000);
            }
            Number::Nanos(value) => push_decimal(buffer, value, 1_000_000_000),
        }
    }
}

fn push_real(buffer: &mut Vec<u8>, value: f64) {
    // Up to here every whole number is exact, and shorter without a fraction.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.is_nan() {
        buffer.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        buffer.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within the range of i64")]
        let whole = value as i64;
        buffer.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        buffer.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    }
}

/// Writes `value` divided by `one`, which is a power of ten, with the digits that it has.
fn push_decimal(buffer: &mut Vec<u8>, value: u64, one: u64) {
    buffer.extend_from_slice(itoa::Buffer::new().format(value / one).as_bytes());
    let mut digits = value % one;
    if digits > 0 {
        buffer.push(b'.');
    }
    let mut weight = one / 10;
    while digits > 0 {
        buffer.extend_from_slice(itoa::Buffer::new().format(digits / weight).as_bytes());
        digits %= weight;
        weight /= 10;
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Number::Whole(u64::from(value))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Number::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Number::Whole(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Number::Real(value)
    }
}

impl From<Timestamp> for Number {
    fn from(value: Timestamp) -> Self {
        Number::Millis(value.as_millis())
    }
}

impl From<Duration> for Number {
    fn from(value: Duration) -> Self {
        // Durations are meaningful to the microsecond; further digits are noise.
        Number::Real((value.as_secs_f64() * 1e6).round() / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: impl Into<Number>) -> String {
        let mut buffer = Vec::new();
        value.into().push_to(&mut buffer);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn numbers_are_short_and_exact() {
        let reals = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-3.0, "-3"),
            (0.37, "0.37"),
            (1e15, "1000000000000000"),
            (1e18, "1e18"),
            (1.5e-7, "1.5e-7"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, expected) in reals {
            assert_eq!(written(value), expected);
        }
        assert_eq!(written(u64::MAX), "18446744073709551615");
        assert_eq!(written(true), "1");
        assert_eq!(written(Duration::from_millis(1250)), "1.25");
        assert_eq!(written(Duration::from_nanos(1_191_736_864)), "1.191737");
    }

    #[test]
    fn times_are_seconds_with_the_thousandths_they_have() {
        let cases = [
            (0, "0"),
            (1, "0.001"),
            (10, "0.01"),
            (1_700_000_000_000, "1700000000"),
            (1_700_000_000_120, "1700000000.12"),
            (1_700_000_000_102, "1700000000.102"),
            (1_700_000_000_100, "1700000000.1"),
            (-1_500, "-1.5"),
            (-i64::MAX, "-9223372036854775.807"),
        ];
        for (millis, expected) in cases {
            assert_eq!(written(Timestamp::from_millis(millis)), expected);
        }
    }

    #[test]
    fn billionths_have_no_noise() {
        let cases = [
            (0, "0"),
            (1, "0.000000001"),
            (100_000_000, "0.1"),
            (1_200_202_000_000, "1200.202"),
            (u64::MAX, "18446744073.709551615"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(written(Number::Nanos(nanos)), expected);
        }
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        let cases =
            [("a", "a"), ("a\"b", "a\\\"b"), ("a\\b", "a\\\\b"), ("a\nb", "a\\nb"), ("é\t🙂\r", "é\t🙂\r")];
        for (value, expected) in cases {
            let mut buffer = Vec::new();
            push_label(&mut buffer, "l", value);
            assert_eq!(String::from_utf8(buffer).unwrap(), format!("l=\"{expected}\""));
        }
    }
}
