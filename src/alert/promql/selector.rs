//! Pieces of PromQL.

use std::time::Duration;

use crate::{alert::rule::Rule, model::glob::Names};

/// Scrapes may be missed for this long without a change of any alert.
pub(in crate::alert::promql) const MISSED: Duration = Duration::from_secs(3 * 60);

/// What a rule asks about, as selectors.
pub(super) struct Scope<'r> {
    pub(super) rule: &'r Rule,
    /// The label that names the subjects. It is `target` if they are targets.
    subject: &'static str,
    /// Whether a value counts until the next one or until [`MISSED`] is over, also if its series ends.
    holds: bool,
}

impl<'r> Scope<'r> {
    pub(super) fn new(rule: &'r Rule, subject: &'static str) -> Self {
        Scope { rule, subject, holds: !rule.for_.is_zero() }
    }

    /// For rules in which another function than the last value bridges missed scrapes.
    pub(super) fn present(rule: &'r Rule, subject: &'static str) -> Self {
        Scope { rule, subject, holds: false }
    }

    /// A gauge of the subjects.
    pub(super) fn last(&self, metric: &str, matcher: &str) -> String {
        self.gauge(&self.selector(metric, matcher))
    }

    /// A gauge of their targets.
    pub(super) fn last_of_targets(&self, metric: &str, matcher: &str) -> String {
        self.gauge(&self.selector_of_targets(metric, matcher))
    }

    /// A function of the subjects' series over a range.
    pub(super) fn over(&self, function: &str, metric: &str, range: Duration) -> String {
        let (selector, range) = (self.selector(metric, ""), duration(range));
        one_of_each(&format!("{function}({selector}[{range}])"))
    }

    pub(super) fn selector(&self, metric: &str, matcher: &str) -> String {
        let (targets, subjects) = self.rule.names();
        braced(metric, [names("target", targets), names(self.subject, subjects), matcher.to_owned()])
    }

    fn selector_of_targets(&self, metric: &str, matcher: &str) -> String {
        let (targets, _) = self.rule.names();
        braced(metric, [names("target", targets), matcher.to_owned(), String::new()])
    }

    fn gauge(&self, selector: &str) -> String {
        if self.holds {
            let held = duration(MISSED);
            one_of_each(&format!("last_over_time({selector}[{held}])"))
        } else {
            one_of_each(selector)
        }
    }
}

/// One series for all exporters that poll the same target.
pub(super) fn one_of_each(vector: &str) -> String {
    format!("max without (instance) ({vector})")
}

fn braced(metric: &str, matchers: [String; 3]) -> String {
    let matchers: Vec<_> = matchers.into_iter().filter(|matcher| !matcher.is_empty()).collect();
    if matchers.is_empty() { metric.to_owned() } else { format!("{metric}{{{}}}", matchers.join(", ")) }
}

/// Matchers of the label for the names that are meant.
fn names(label: &str, Names { only, except }: &Names) -> String {
    let with = |sign: &str, patterns: &[String]| {
        (!patterns.is_empty()).then(|| format!("{label}{sign}{}", quoted(&regex(patterns))))
    };
    let both = [with("=~", only), with("!~", except)];
    both.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A regular expression for what matches one of these globs.
pub(super) fn regex(globs: &[String]) -> String {
    let mut regex = String::new();
    for (place, glob) in globs.iter().enumerate() {
        if place > 0 {
            regex.push('|');
        }
        for char in glob.chars() {
            match char {
                '*' => regex.push_str(".*"),
                '?' => regex.push('.'),
                '\\' | '.' | '+' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                    regex.extend(['\\', char]);
                }
                char => regex.push(char),
            }
        }
    }
    regex
}

/// A string of PromQL, without characters that a line of YAML cannot have.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        if matches!(char, '"' | '\\') {
            quoted.extend(['\\', char]);
        } else if char.is_alphanumeric() || char.is_ascii_graphic() || char == ' ' {
            quoted.push(char);
        } else {
            quoted += &format!("\\U{:08x}", u32::from(char));
        }
    }
    quoted + "\""
}

/// In the largest unit that leaves no rest.
pub(super) fn duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let fits = units.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{millis}ms"), |(word, unit)| format!("{}{word}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_become_regular_expressions_in_quotes() {
        let globs =
            |globs: &[&str]| quoted(&regex(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>()));
        for (names, expected) in [
            (&["home"][..], r#""home""#),
            (&["vip-*", "u?"], r#""vip-.*|u.""#),
            (&["a.b+c(d)|e[f]{g}^h$"], r#""a\\.b\\+c\\(d\\)\\|e\\[f\\]\\{g\\}\\^h\\$""#),
            (&["\\"], r#""\\\\""#),
            (&["say \"hi\""], r#""say \"hi\"""#),
            (&["用户*"], r#""用户.*""#),
            (&["a\nb\u{85}\u{2028}"], r#""a\U0000000ab\U00000085\U00002028""#),
        ] {
            assert_eq!(globs(names), expected);
        }
    }

    #[test]
    fn durations_have_the_largest_unit_that_fits() {
        for (millis, expected) in
            [(0, "0d"), (604_800_000, "7d"), (5_400_000, "90m"), (90_000, "90s"), (1500, "1500ms")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn names_are_matched_by_the_label_that_has_them() {
        let names = |only: &[&str], except: &[&str]| Names {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            except: except.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(super::names("user", &names(&["a*", "b"], &["ab"])), r#"user=~"a.*|b", user!~"ab""#);
        assert_eq!(super::names("user", &names(&[], &[])), "");
        assert_eq!(braced("m", [String::new(), "a=\"1\"".into(), "b=\"2\"".into()]), r#"m{a="1", b="2"}"#);
        assert_eq!(braced("m", [String::new(), String::new(), String::new()]), "m");
    }
}
