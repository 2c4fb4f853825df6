//! What a client asks: the query string, form bodies and instants, read as the panel reads them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::Flavour;

/// Decoded pairs of a query string or a form, in their order.
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub(super) fn of(text: &str) -> Pairs {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Pairs(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decoded(key, Plus::Space), decoded(value, Plus::Space)))
                .collect(),
        )
    }

    /// The last value of a key: what the panel takes where it wants one.
    pub(super) fn last(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// An integer, `None` where the key is absent.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>, NotAnInteger> {
        self.last(key).map(|text| text.trim().parse().map_err(|_| NotAnInteger)).transpose()
    }
}

pub(super) struct NotAnInteger;

/// One segment of a path, decoded.
pub(super) fn segment(text: &str) -> String {
    decoded(text, Plus::Itself)
}

/// What a plus sign stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Itself,
    Space,
}

fn decoded(text: &str, plus: Plus) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let mut ahead = rest.clone();
                let high = ahead.next().and_then(hex);
                let low = ahead.next().and_then(hex);
                if let (Some(high), Some(low)) = (high, low) {
                    bytes.push(high * 16 + low);
                    rest = ahead;
                } else {
                    bytes.push(byte);
                }
            }
            b'+' if plus == Plus::Space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// An instant in unix seconds; one without an offset is UTC.
pub(super) fn instant(text: &str, flavour: Flavour) -> Option<i64> {
    if flavour == Flavour::Marzban07 && text.ends_with(['Z', 'z']) {
        // Python 3.10, which the images up to 0.7.0 carry, does not know it.
        return None;
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_second());
    }
    let naive: DateTime = text.parse().ok()?;
    Offset::UTC.to_timestamp(naive).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_the_recorded_panel_reads_them() {
        let cases = [
            ("2026-01-01T00:00:00", Some(1_767_225_600)),
            ("2026-01-01T00:00:00+00:00", Some(1_767_225_600)),
            ("2026-01-01T03:30:00+03:30", Some(1_767_225_600)),
            ("2026-01-01T00:00:00Z", Some(1_767_225_600)),
            ("2026-01-01T00:00:00 00:00", None),
            ("yesterday", None),
            ("1790000000", None),
        ];
        for (text, expected) in cases {
            assert_eq!(instant(text, Flavour::Marzban), expected, "{text}");
        }
        assert_eq!(instant("2026-01-01T00:00:00Z", Flavour::Marzban07), None);
    }

    #[test]
    fn pairs_are_decoded_and_the_last_of_a_key_counts() {
        let pairs = Pairs::of("username=a%40b&username=c+d&start=1%2B1&bad=%zz&flag");
        assert_eq!(pairs.all("username").collect::<Vec<_>>(), ["a@b", "c d"]);
        assert_eq!(pairs.last("username"), Some("c d"));
        assert_eq!(pairs.last("start"), Some("1+1"));
        assert_eq!(pairs.last("bad"), Some("%zz"));
        assert_eq!(pairs.last("flag"), Some(""));
        assert_eq!(segment("User.Name-1%40x.com+"), "User.Name-1@x.com+");
    }
}
