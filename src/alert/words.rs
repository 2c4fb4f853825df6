use std::borrow::Cow;

use super::rule::{Rule, WHOLE};
use crate::{
    model::{End, KIND_USER, Pairs, Reading, Severity, Threshold, words::percent},
    wording::{About, Told, Voice},
};

/// Returns what notifications call a user in place of the name.
pub type Pseudonym = Box<dyn Fn(&str) -> String + Send + Sync>;

/// What notifications call a subject of this kind. Texts are made from this, never from a user's name that is to be
/// removed afterwards.
pub(super) fn displayed<'a>(kind: &str, subject: &'a str, pseudonym: Option<&Pseudonym>) -> Cow<'a, str> {
    match pseudonym {
        Some(pseudonym) if kind == KIND_USER => pseudonym(subject).into(),
        _ => subject.into(),
    }
}

/// The labels of an alert. Those without a value are empty.
pub(super) fn labels<'a>(
    rule: &'a Rule,
    severity: Severity,
    step: &'a str,
    subject: &'a str,
    system: Option<&'a str>,
    target: &'a str,
) -> [(&'static str, &'a str); 8] {
    [
        ("alertname", rule.kind.alertname),
        ("kind", rule.kind.kind_of(subject)),
        ("rule", rule.label().unwrap_or_default()),
        ("severity", severity.label()),
        ("step", step),
        ("subject", subject),
        ("system", system.unwrap_or_default()),
        ("target", target),
    ]
}

/// The annotations of an alert of `rule` with these labels: what is true of it now.
pub(super) fn annotations(rule: &Rule, labels: &Pairs, told: &Told<'_>, voice: &Voice) -> Pairs {
    let label = |name| labels.get(name).unwrap_or_default();
    let alertname = rule.kind.alertname;
    let step = label("step");
    let about =
        About { alertname, kind: label("kind"), subject: label("subject"), target: label("target"), step };
    let mut words = Vec::new();
    let mut tell = |name, text| words.push((name, text));
    // Of what has ended and has no steps, the last reading says nothing of the present.
    // Nor does that of a subject that is not there any more.
    let is_gone =
        told.ended.is_some_and(|(end, _)| matches!(end, End::Deleted | End::Removed | End::Replaced));
    if told.ended.is_none() || !step.is_empty() && !is_gone {
        for (name, text) in told.reading.words(told.now) {
            tell(name, text);
        }
        let threshold = rule.step(step).and_then(|place| rule.steps.get(place)).map(|step| step.threshold);
        if let (Some(Threshold::Used(share)), Reading::Share(_)) = (threshold, told.reading) {
            tell("limit", percent(u128::from(share * 100 / WHOLE)));
        }
    }
    if let Some((end, _)) = told.ended {
        tell("reason", end.label().to_owned());
    }
    tell("description", voice.sentence(&about, told));
    tell("summary", voice.summary(alertname));
    if told.ended.is_none() {
        tell("action", voice.action(alertname));
    }
    if let Some(url) = voice.runbook(alertname) {
        tell("runbook_url", url);
    }
    words.into_iter().collect()
}

/// `template` with each name in braces replaced. Inserted values are not scanned again, whatever they contain.
pub(super) fn filled<'a>(template: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use super::*;
    use crate::{
        alert::{rule::Rules, testing},
        model::{BudgetPeriod, BudgetUnit, End, Reading, Timestamp},
    };

    #[test]
    fn names_cannot_reach_into_the_template() {
        let labels = Pairs::from([("subject", "{target}"), ("target", "home"), ("step", "7d")]);
        let rules = Rules::new(&testing::config()).unwrap();
        let end = Timestamp::from_secs(1_795_000_000);
        let told = |now: Timestamp, reading: Reading, ended| {
            let told = Told { reading: &reading, began: now, ended, now };
            annotations(&rules.list()[0], &labels, &told, &Voice::default())
        };
        let words = told(end.saturating_sub(Duration::from_secs(90_000)), Reading::Ends(end), None);
        assert_eq!(
            &words["description"],
            "User {target} (home) expires in 1 day 1 h, on 18 November 2026, 11:06 UTC."
        );
        assert_eq!(&words["value"], "2026-11-18T11:06:40Z");
        assert_eq!(&words["remaining"], "1d 1h");
        assert!(words.get("reason").is_none() && words.get("runbook_url").is_none());
        let later = end.saturating_add(Duration::from_secs(30 * 86_400));
        let words = told(end, Reading::Ends(later), Some((End::Renewed, end)));
        assert_eq!(&words["description"], "User {target} (home) runs until 18 December 2026 (renewed).");
        assert_eq!((&words["reason"], &words["remaining"]), ("renewed", "30d"));
    }

    /// Compares the labels and annotations that alerts may have with docs/notifications.md.
    #[test]
    fn every_label_and_annotation_is_documented() {
        let document = std::fs::read_to_string("docs/notifications.md").unwrap();
        let documented = |before: &str| {
            let (_, table) = document.split_once(before).unwrap();
            let rows = table.split_once("\n\n").unwrap().1.split("\n\n").next().unwrap().lines();
            let names = rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0.to_owned()));
            names.collect::<BTreeSet<_>>()
        };
        let labels = crate::alert::config::LABELS.map(str::to_owned);
        assert_eq!(documented("Labels, those that have a value:"), BTreeSet::from(labels.clone()));

        let now = Timestamp::from_secs(1_795_000_000);
        let (unit, period) = (BudgetUnit::UsdNanos, BudgetPeriod::Day);
        // A new kind of reading belongs below, too.
        let is_listed = |reading: &Reading| match reading {
            Reading::Ends(_)
            | Reading::Used { .. }
            | Reading::Forecast { .. }
            | Reading::Share(_)
            | Reading::Word(_)
            | Reading::Down { .. }
            | Reading::Count(_)
            | Reading::Unreadable { .. }
            | Reading::Lasting(_)
            | Reading::Window { .. }
            | Reading::Spent { .. }
            | Reading::Attempts { .. }
            | Reading::Unseen { .. }
            | Reading::Devices { .. }
            | Reading::Moved { .. }
            | Reading::Nothing => true,
        };
        let readings = [
            Reading::Ends(now),
            Reading::Used { used: 1, limit: 2, resets: Some(now) },
            Reading::Forecast { at: now, used: 1, limit: 2, daily: 1 },
            Reading::Share(0.5),
            Reading::Word("why".into()),
            Reading::Down { cause: "why".into(), detail: Some("why".into()), until: Some(now) },
            Reading::Count(1),
            Reading::Unreadable { rows: 1, cause: "why".into() },
            Reading::Lasting(1),
            Reading::Window { share: 0.5, resets: Some(now) },
            Reading::Spent { spent: 1, limit: 2, unit, period, since: now },
            Reading::Attempts { failed: 1, all: 2 },
            Reading::Unseen { since: now, never: false },
            Reading::Devices { used: 2, limit: 1 },
            Reading::Moved { bytes: 2, limit: 1, within: 3600 },
            Reading::Nothing,
        ];
        let rules = Rules::new(&testing::config()).unwrap();
        let voice = Voice { pages: Some("https://meter.example.com".into()), ..Voice::default() };
        let labels = labels.map(|name| (name, "x")).into();
        let mut names = BTreeSet::new();
        for (reading, rule) in
            readings.iter().flat_map(|reading| rules.list().iter().map(move |rule| (reading, rule)))
        {
            assert!(is_listed(reading));
            for ended in [None, Some((End::Renewed, now))] {
                let told = Told { reading, began: now, ended, now };
                names.extend(annotations(rule, &labels, &told, &voice).keys().map(str::to_owned));
            }
        }
        assert_eq!(documented("Annotations. A rule has those that fit"), names);
    }
}
