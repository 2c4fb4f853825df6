//! Matchers of alerts by a label, in Alertmanager's words: `target="edge"`, `subject=~"ann|bob"`.

use std::{fmt, str::FromStr};

use regex_lite::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Every label that an alert may have. Alerts are grouped, muted and silenced by these.
pub const ALERT_LABELS: [&str; 8] =
    ["alertname", "target", "system", "kind", "subject", "step", "severity", "rule"];

/// # Errors
/// When alerts have no such label: which ones they have.
pub fn check_label(name: &str) -> Result<(), String> {
    if ALERT_LABELS.contains(&name) {
        return Ok(());
    }
    let name = name.chars().take(50).collect::<String>();
    Err(format!("no alert has the label {name:?}; use some of {}", ALERT_LABELS.join(", ")))
}

/// Bytes of the value of a matcher.
const LONGEST_VALUE: usize = 1000;
/// Bytes of memory of one compiled expression: enough for a hundred names.
const LARGEST_REGEX: usize = 64 * 1024;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum MatchOp {
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
    #[serde(rename = "=~")]
    Regex,
    #[serde(rename = "!~")]
    NotRegex,
}

impl MatchOp {
    /// The operator that Alertmanager's JSON describes by two flags.
    pub fn of(is_regex: bool, is_equal: bool) -> Self {
        match (is_regex, is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        }
    }

    pub fn is_regex(self) -> bool {
        matches!(self, MatchOp::Regex | MatchOp::NotRegex)
    }

    /// Whether it demands that the value fits, not that it does not.
    pub fn is_equal(self) -> bool {
        matches!(self, MatchOp::Equal | MatchOp::Regex)
    }

    pub fn label(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }
}

/// Compares one label of an alert with a value. A label that the alert does not have is empty.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Spelled", into = "Spelled")]
pub struct Matcher {
    name: String,
    op: MatchOp,
    value: String,
    fits: Fits,
}

/// What a whole value has to be.
#[derive(Clone, Debug)]
enum Fits {
    /// One of these. Most expressions are no more than names, which are compared sooner so.
    OneOf(Vec<String>),
    Regex(Regex),
}

/// A matcher as it is stored.
#[derive(Serialize, Deserialize)]
struct Spelled {
    name: String,
    op: MatchOp,
    value: String,
}

impl TryFrom<Spelled> for Matcher {
    type Error = String;

    fn try_from(Spelled { name, op, value }: Spelled) -> Result<Self, String> {
        Matcher::new(&name, op, &value)
    }
}

impl From<Matcher> for Spelled {
    fn from(Matcher { name, op, value, .. }: Matcher) -> Self {
        Spelled { name, op, value }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Matcher {
    /// # Errors
    /// When alerts have no such label, or the value is too long or no regular expression.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        check_label(name)?;
        if value.len() > LONGEST_VALUE || value.contains(char::is_control) {
            return Err(format!(
                "the value of {name} is longer than {LONGEST_VALUE} bytes, or has control characters"
            ));
        }
        let fits = match op {
            MatchOp::Equal | MatchOp::NotEqual => Ok(Fits::OneOf(vec![value.to_owned()])),
            MatchOp::Regex | MatchOp::NotRegex => compiled(value),
        };
        let fits = fits.map_err(|why| format!("the value of {name} is no regular expression: {why}"))?;
        Ok(Matcher { name: name.to_owned(), op, value: value.to_owned(), fits })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it fits a label with this value.
    pub fn matches(&self, value: &str) -> bool {
        let fits = match &self.fits {
            Fits::OneOf(values) => values.iter().any(|known| known == value),
            Fits::Regex(regex) => regex.is_match(value),
        };
        fits == self.op.is_equal()
    }
}

/// What an expression fits, which are whole values alone.
fn compiled(value: &str) -> Result<Fits, regex_lite::Error> {
    if !value.contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$']) {
        return Ok(Fits::OneOf(value.split('|').map(str::to_owned).collect()));
    }
    let build = |text: &str| RegexBuilder::new(text).size_limit(LARGEST_REGEX).build();
    // By itself first: brackets that do not belong together must not undo the anchors.
    build(value)?;
    build(&format!("^(?:{value})$")).map(Fits::Regex)
}

impl FromStr for Matcher {
    type Err = String;

    /// Reads `name=value` with any of the operators, the value with or without quotes. A word alone is an alert name, as
    /// amtool has it.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some(at) = text.find(['=', '!']) else {
            return Matcher::new("alertname", MatchOp::Equal, text.trim());
        };
        let (name, rest) = text.split_at(at);
        let ops = [MatchOp::Regex, MatchOp::NotRegex, MatchOp::NotEqual, MatchOp::Equal];
        let found = ops.into_iter().find_map(|op| Some((op, rest.strip_prefix(op.label())?)));
        let (op, value) = found
            .ok_or_else(|| format!("{text:?} is no matcher; write LABEL=VALUE, or !=, =~ or !~ for ="))?;
        Matcher::new(name.trim(), op, &unquoted(value.trim())?)
    }
}

fn unquoted(value: &str) -> Result<String, String> {
    let Some(rest) = value.strip_prefix('"') else { return Ok(value.to_owned()) };
    let wrong = || format!("{value} has a quote that does not end; write \\\" for a quote within the value");
    let inner = rest.strip_suffix('"').ok_or_else(wrong)?;
    let (mut text, mut chars) = (String::new(), inner.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().ok_or_else(wrong)? {
                quoted @ ('"' | '\\') => text.push(quoted),
                // Of an expression, such as \d.
                other => text.extend(['\\', other]),
            },
            '"' => return Err(wrong()),
            c => text.push(c),
        }
    }
    Ok(text)
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.replace('\\', "\\\\").replace('"', "\\\"");
        write!(f, "{}{}\"{value}\"", self.name, self.op.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_fit_as_alertmanagers_do() {
        let cases = [
            ("target=edge", "edge", true),
            ("target=edge", "edge-2", false),
            ("target=edge", "", false),
            ("target!=edge", "home", true),
            ("target!=edge", "", true),
            ("target!=edge", "edge", false),
            // Expressions are anchored at both ends, whatever they hold.
            ("target=~edge", "edge", true),
            ("target=~edge", "my-edge", false),
            ("target=~edge", "edge-2", false),
            ("target=~edge.*", "edge-2", true),
            ("target=~edge|home", "home", true),
            ("target=~edge|home", "home-2", false),
            ("target=~edge|", "", true),
            ("target=~edg[e]|home", "edge", true),
            ("target=~edg[e]|home", "my-edge", false),
            ("target=~edg[e]|home", "home-2", false),
            ("target!~edg.|home", "edge", false),
            ("target=~", "", true),
            ("target=~", "edge", false),
            ("target!~edge|home", "home", false),
            ("target!~edge|home", "llm", true),
            ("subject=~(?i)ANN", "ann", true),
            (r"subject=~user-\d+", "user-12", true),
            (r#"subject=~"user-\d+""#, "user-12", true),
            (r#"subject="a\"b\\c""#, r#"a"b\c"#, true),
            ("subject=a=b", "a=b", true),
            ("subject=用户", "用户", true),
            (" subject = ann ", "ann", true),
            ("ProxymeterNodeDown", "ProxymeterNodeDown", true),
        ];
        for (text, value, fits) in cases {
            let matcher: Matcher = text.parse().unwrap();
            assert_eq!(matcher.matches(value), fits, "{text} and {value:?}");
            assert_eq!(matcher.to_string().parse::<Matcher>().unwrap(), matcher, "{text}");
            let stored = serde_json::to_string(&matcher).unwrap();
            assert_eq!(serde_json::from_str::<Matcher>(&stored).unwrap(), matcher, "{stored}");
        }
    }

    #[test]
    fn what_is_no_matcher_is_refused_with_advice() {
        let long = format!("subject={}", "a".repeat(LONGEST_VALUE + 1));
        let cases = [
            ("user=ann", "no alert has the label \"user\"; use some of alertname, target,"),
            ("=ann", "no alert has the label \"\""),
            ("subject!ann", "is no matcher; write LABEL=VALUE"),
            ("subject=\"ann", "a quote that does not end"),
            ("subject=\"a\"b\"", "a quote that does not end"),
            ("subject=~ann)|(?:bob", "the value of subject is no regular expression: "),
            ("subject=~[", "the value of subject is no regular expression: "),
            ("subject=~.{60000}", "the value of subject is no regular expression: "),
            ("subject=a\nb", "the value of subject is longer than 1000 bytes, or has control characters"),
            (&long, "the value of subject is longer than 1000 bytes"),
        ];
        for (text, why) in cases {
            let refused = text.parse::<Matcher>().unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
