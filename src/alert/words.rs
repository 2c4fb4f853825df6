use std::{collections::BTreeMap, time::Duration};

use super::{
    finding::{End, Reading},
    rule::{Rule, WHOLE},
};
use crate::model::{Severity, Timestamp};

/// Whether an alert fires, or why and when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Firing,
    Ended(End),
}

/// The labels of an alert, those that have a value.
pub(super) fn labels(
    rule: &Rule,
    severity: Severity,
    step: &str,
    subject: &str,
    system: Option<&str>,
    target: &str,
) -> BTreeMap<String, String> {
    let labels = [
        ("alertname", rule.kind.alertname),
        ("kind", rule.kind.kind),
        ("rule", rule.label().unwrap_or_default()),
        ("severity", severity.label()),
        ("step", step),
        ("subject", subject),
        ("system", system.unwrap_or_default()),
        ("target", target),
    ];
    let given = labels.into_iter().filter(|(_, value)| !value.is_empty());
    given.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The annotations of an alert of `rule` with these labels.
pub(super) fn annotations(
    rule: &Rule,
    labels: &BTreeMap<String, String>,
    reading: &Reading,
    standing: Standing,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut words = BTreeMap::new();
    let mut put = |name: &str, text: String| drop(words.insert(name.to_owned(), text));
    match reading {
        Reading::Ends(end) => {
            put("value", date(*end));
            put("remaining", duration(end.since(now)));
        }
        Reading::Used { used, limit } => {
            put("value", bytes(*used));
            put("limit", bytes(*limit));
            put("remaining", bytes(limit.saturating_sub(*used)));
            put("ratio", percent(u128::from(*used) * 100 / u128::from((*limit).max(1))));
        }
        Reading::Share(share) => put("value", format!("{:.0}%", share * 100.0)),
        Reading::Word(word) => put("reason", word.clone().into_owned()),
        Reading::Lasting(secs) => put("value", duration(Duration::from_secs(*secs))),
    }
    let step = labels.get("step").and_then(|label| rule.step(label)).and_then(|place| rule.steps.get(place));
    if let Some(super::rule::Threshold::Used(share)) = step.map(|step| step.threshold)
        && !matches!(reading, Reading::Used { .. })
    {
        put("limit", percent(u128::from(share * 100 / WHOLE)));
    }

    let reached = match reading {
        Reading::Ends(end) => *end <= now,
        Reading::Used { used, limit } => used >= limit,
        _ => false,
    };
    let template = rule.kind.reached.filter(|_| reached).unwrap_or(rule.kind.description);
    let description =
        filled(template, |name| words.get(name).or_else(|| labels.get(name)).map(String::as_str));
    words.insert("description".to_owned(), description);
    words.insert("summary".to_owned(), rule.kind.summary.to_owned());
    if let Standing::Ended(end) = standing {
        words.insert("reason".to_owned(), end.label().to_owned());
    }
    words
}

/// `template` with each name in braces replaced. What is put in is not looked at again, whatever users are called.
fn filled<'a>(template: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    for piece in template.split_inclusive(['{', '}']) {
        if let Some(before) = piece.strip_suffix('{') {
            text.push_str(before);
        } else if let Some(name) = piece.strip_suffix('}') {
            text.push_str(value(name).unwrap_or("?"));
        } else {
            text.push_str(piece);
        }
    }
    text
}

/// The two largest units, e.g. `2d 3h`.
pub(super) fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let units = [("d", secs / 86_400), ("h", secs / 3600 % 24), ("m", secs / 60 % 60), ("s", secs % 60)];
    let Some(first) = units.iter().position(|(_, count)| *count > 0) else { return "0s".to_owned() };
    let told = units.iter().skip(first).take(2).filter(|(_, count)| *count > 0);
    told.map(|(unit, count)| format!("{count}{unit}")).collect::<Vec<_>>().join(" ")
}

fn percent(percent: u128) -> String {
    format!("{percent}%")
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exponent = bytes.max(1).ilog2() / 10;
    let Some(unit) = exponent.checked_sub(1).and_then(|at| UNITS.get(usize::try_from(at).ok()?)) else {
        return format!("{bytes} B");
    };
    // Rounded down, so that what is not reached does not look so.
    let tenths = (u128::from(bytes) * 10) >> (exponent * 10);
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// RFC 3339 in UTC, to the second.
fn date(time: Timestamp) -> String {
    jiff::Timestamp::from_second(time.as_secs()).map_or_else(|_| "never".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{rule::Rules, testing};

    #[test]
    fn durations_and_bytes_are_told_in_words_of_people() {
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

    #[test]
    fn names_cannot_reach_into_the_template() {
        let labels = BTreeMap::from([("subject", "{target}"), ("target", "home"), ("step", "7d")]);
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let rules = Rules::new(&testing::config()).unwrap();
        let end = Timestamp::from_secs(1_795_000_000);
        let told = |now: Timestamp, standing| {
            annotations(&rules.list()[0], &labels, &Reading::Ends(end), standing, now)
        };
        let words = told(end.saturating_sub(Duration::from_secs(90_000)), Standing::Firing);
        assert_eq!(words["description"], "User {target} of home expires in 1d 1h.");
        assert_eq!(words["value"], "2026-11-18T11:06:40Z");
        assert_eq!(words["remaining"], "1d 1h");
        assert!(!words.contains_key("reason"));
        let words = told(end, Standing::Ended(End::Renewed));
        assert_eq!(words["description"], "User {target} of home has expired.");
        assert_eq!(words["reason"], "renewed");
    }
}
