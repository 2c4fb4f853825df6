use std::{borrow::Cow, collections::BTreeMap};

use super::{
    finding::End,
    rule::{Rule, WHOLE},
};
use crate::model::{KIND_USER, Reading, Severity, Threshold, Timestamp, words::percent};

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
        ("kind", rule.kind.kind_of(subject)),
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

/// The annotations of an alert of `rule` with these labels, which still fires unless it has ended.
pub(super) fn annotations(
    rule: &Rule,
    labels: &BTreeMap<String, String>,
    reading: &Reading,
    ended: Option<End>,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let mut words: BTreeMap<_, _> =
        reading.words(now).into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let step = labels.get("step").and_then(|label| rule.step(label)).and_then(|place| rule.steps.get(place));
    if let Some(Threshold::Used(share)) = step.map(|step| step.threshold)
        && !words.contains_key("limit")
    {
        words.insert("limit".to_owned(), percent(u128::from(share * 100 / WHOLE)));
    }

    let reached = match reading {
        Reading::Ends(end) => *end <= now,
        Reading::Used { used, limit } => used >= limit,
        Reading::Spent { spent, limit, .. } => spent >= limit,
        Reading::Window { share, .. } => *share >= 1.0,
        _ => false,
    };
    let template = rule.kind.reached.filter(|_| reached).unwrap_or(rule.kind.description);
    let about = about(labels);
    let description = filled(template, |name| match name {
        "about" => Some(about.as_str()),
        _ => words.get(name).or_else(|| labels.get(name)).map(String::as_str),
    });
    words.insert("description".to_owned(), description);
    words.insert("summary".to_owned(), rule.kind.summary.to_owned());
    if let Some(end) = ended {
        words.insert("reason".to_owned(), end.label().to_owned());
    }
    words
}

/// What an alert with these labels is about, e.g. `node n1 of home`, or `home` itself.
fn about(labels: &BTreeMap<String, String>) -> String {
    let label = |name| labels.get(name).map(String::as_str).unwrap_or_default();
    match labels.get("subject") {
        Some(subject) => format!("{} {subject} of {}", label("kind"), label("target")),
        None => label("target").to_owned(),
    }
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
    use std::time::Duration;

    use super::*;
    use crate::alert::{rule::Rules, testing};

    #[test]
    fn names_cannot_reach_into_the_template() {
        let labels = BTreeMap::from([("subject", "{target}"), ("target", "home"), ("step", "7d")]);
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let rules = Rules::new(&testing::config()).unwrap();
        let end = Timestamp::from_secs(1_795_000_000);
        let told =
            |now: Timestamp, ended| annotations(&rules.list()[0], &labels, &Reading::Ends(end), ended, now);
        let words = told(end.saturating_sub(Duration::from_secs(90_000)), None);
        assert_eq!(words["description"], "User {target} of home expires in 1d 1h.");
        assert_eq!(words["value"], "2026-11-18T11:06:40Z");
        assert_eq!(words["remaining"], "1d 1h");
        assert!(!words.contains_key("reason"));
        let words = told(end, Some(End::Renewed));
        assert_eq!(words["description"], "User {target} of home has expired.");
        assert_eq!(words["reason"], "renewed");
    }
}
