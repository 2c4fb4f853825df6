//! Quantities in human-readable form, the same in notices, pages and answers.

use std::time::Duration;

use super::Timestamp;

/// Formats a duration in its two largest units, e.g. `2d 3h`.
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60), ("s", secs % 60)];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else { return "0s".to_owned() };
    let told = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    told.map(|(unit, count)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
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
}
