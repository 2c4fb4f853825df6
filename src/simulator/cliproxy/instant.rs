//! Points in time as a server writes them.

use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use jiff::{Timestamp, Zoned};

const PRINTER: DateTimePrinter = DateTimePrinter::new();
const MS: i64 = 1_000_000;

/// RFC 3339 with the digits of the fraction that are needed.
pub(super) fn local(ns: i64, offset: Offset) -> String {
    let mut text = String::with_capacity(35);
    write_local(&mut text, ns, offset);
    text
}

pub(super) fn write_local(text: &mut String, ns: i64, offset: Offset) {
    // Writing to a string cannot fail.
    drop(PRINTER.print_timestamp_with_offset(&timestamp(ns), offset, text));
}

pub(super) fn local_of_ms(ms: i64, offset: Offset) -> String {
    local(ms.saturating_mul(MS), offset)
}

pub(super) fn utc_of_ms(ms: i64) -> String {
    timestamp(ms.saturating_mul(MS)).to_string()
}

pub(super) fn zoned(ns: i64, offset: Offset) -> Zoned {
    timestamp(ns).to_zoned(offset.to_time_zone())
}

fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(ns.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_digits_that_are_needed_are_written() {
        let offset = Offset::constant(8);
        assert_eq!(local(1_795_634_391_610_815_061, offset), "2026-11-26T03:19:51.610815061+08:00");
        assert_eq!(local(1_795_634_391_610_000_000, offset), "2026-11-26T03:19:51.61+08:00");
        assert_eq!(local_of_ms(1_795_634_391_000, offset), "2026-11-26T03:19:51+08:00");
        assert_eq!(utc_of_ms(1_795_634_391_500), "2026-11-25T19:19:51.5Z");
    }
}
