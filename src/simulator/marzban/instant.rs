//! Points in time in a query, read as the panel reads them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::options::Flavour;

/// An instant in unix seconds; one without an offset is UTC.
pub(super) fn of(text: &str, flavour: Flavour) -> Option<i64> {
    if flavour == Flavour::Marzban07 && text.ends_with(['Z', 'z']) {
        // Python 3.10, which the images up to 0.7.0 contain, cannot read it.
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
            assert_eq!(of(text, Flavour::Marzban), expected, "{text}");
        }
        assert_eq!(of("2026-01-01T00:00:00Z", Flavour::Marzban07), None);
    }
}
