//! The configuration as pages show it.
//!
//! A value is shown if it stands in the list of what is harmless and looks like what it should be; everything else is
//! hidden, and so are keys that nobody has thought of here.

use std::fmt::Write;

use jiff::tz::TimeZone;
use reqwest::Url;
use toml::de::{DeTable, DeValue};

use super::listen::parse_listen;
use super::mutes;
use super::names::is_name;
use super::shard::Shard;

const HIDDEN: &str = "\"<hidden>\"";

/// What of a value may be shown. Numbers and switches that have a place in the list are shown as they are.
#[derive(Clone, Copy)]
enum Show {
    /// It is a number or a switch, and no text.
    Number,
    /// All of it, if this holds.
    If(fn(&str) -> bool),
    /// Of a URL the scheme, the host and the port; nothing of one with a password in it.
    Origin,
    /// All of it, if pages name users.
    People,
}

use Show::{If, Number, Origin, People};

type Keys = &'static [(&'static str, Show)];

/// What is harmless: tables, with `*` for a name, and keys in them. A table that is not here is hidden as a whole.
const SHOWN: &[(&[&str], Keys)] = &[
    (
        &["web"],
        &[
            ("listen", If(is_address)),
            ("external_url", Origin),
            ("tls_min_version", If(|text| ["1.2", "1.3"].contains(&text))),
            ("open_health", Number),
        ],
    ),
    (&["poll"], &[("shard", If(|text| text.parse::<Shard>().is_ok()))]),
    (
        &["poll", "marzban.*"],
        &[
            ("interval", If(is_quantity)),
            ("timeout", If(is_quantity)),
            ("page_timeout", If(is_quantity)),
            ("stale_after", If(is_quantity)),
            ("load", If(is_quantity)),
            ("users_interval", If(|text| text == "auto" || is_quantity(text))),
        ],
    ),
    (
        &["users"],
        &[
            ("labels", If(|text| ["name", "hash", "off"].contains(&text))),
            ("limit", Number),
            ("notices", If(|text| ["name", "hash"].contains(&text))),
        ],
    ),
    (&["users", "marzban.*"], &[("node_traffic_of", People)]),
    (&["storage"], &[]),
    (&["marzban.*", "webhook.*", "heartbeat"], &[("url", Origin)]),
    (&["marzban.*.tls", "webhook.*.tls", "heartbeat.tls"], &[("insecure_skip_verify", Number)]),
    (
        &["heartbeat"],
        &[
            ("method", If(|text| ["GET", "POST"].contains(&text))),
            ("interval", If(is_quantity)),
            ("timeout", If(is_quantity)),
            ("delivery_patience", If(is_quantity)),
            ("proxy", Origin),
        ],
    ),
    (
        &["email.*"],
        &[
            ("smarthost", If(is_host)),
            ("tls", If(|text| ["starttls", "implicit", "none"].contains(&text))),
            ("auth", If(|text| ["auto", "plain", "login", "xoauth2"].contains(&text))),
        ],
    ),
    (
        &["webhook.*"],
        &[
            ("format", If(|text| ["alertmanager", "template"].contains(&text))),
            ("max_alerts", Number),
            ("proxy", Origin),
        ],
    ),
    (
        &["email.*", "webhook.*"],
        &[("timeout", If(is_quantity)), ("min_severity", If(is_severity)), ("send_resolved", Number)],
    ),
    (
        &["email.*", "webhook.*", "alerting"],
        &[
            ("group_by", If(is_name)),
            ("group_wait", If(is_quantity)),
            ("group_interval", If(is_quantity)),
            ("repeat_interval", If(is_quantity)),
        ],
    ),
    (&["alerting"], &[("enabled", Number), ("fallback", If(is_name)), ("fallback_after", If(is_quantity))]),
    (
        &["alert.*"],
        &[
            ("rule", If(is_name)),
            ("enabled", Number),
            ("targets", If(is_pattern)),
            ("subjects", People),
            ("exclude", People),
            ("steps", If(is_quantity)),
            ("for", If(is_quantity)),
            ("severity", If(is_severity)),
            ("repeat_interval", If(is_quantity)),
            ("receivers", If(is_name)),
            ("expired_for", If(is_quantity)),
        ],
    ),
    (
        &["mute.*"],
        &[
            ("days", If(|text| mutes::days_of(text).is_ok())),
            ("hours", If(|text| mutes::hours_of(text).is_ok())),
            ("zone", If(|text| TimeZone::get(text).is_ok())),
            ("below", If(is_severity)),
        ],
    ),
    (&["mute.*.matchers"], &[("target", If(is_pattern)), ("severity", If(is_severity)), ("subject", People)]),
];

/// A configuration that was found to be in order, as TOML in the order of its text. Comments are not kept.
pub(super) fn text(root: &DeTable<'_>) -> String {
    let mut page = Page { text: String::new(), names_people: names_people(root) };
    page.table("", "", root);
    page.text
}

/// Whether pages call users by their names, which is the default.
fn names_people(root: &DeTable<'_>) -> bool {
    let Some(DeValue::Table(users)) = root.get("users").map(|value| value.get_ref()) else { return true };
    match users.get("labels").map(|value| value.get_ref()) {
        None => true,
        Some(DeValue::String(labels)) => labels == "name",
        Some(_) => false,
    }
}

struct Page {
    text: String,
    names_people: bool,
}

impl Page {
    /// Writes a table whose heading is `path`. `pattern` is the same as the list has it.
    fn table(&mut self, path: &str, pattern: &str, entries: &DeTable<'_>) {
        let mut entries: Vec<_> = entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let is_open = |key: &str, value: &DeValue<'_>| {
            matches!(value, DeValue::Table(_)) && has_table(&below(pattern, key))
        };

        // Keys first: below the heading of another table they would belong to that.
        let (tables, keys): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(key, value)| is_open(key.get_ref(), value.get_ref()));
        let holds_named_ones_alone = keys.is_empty() && pattern_of_kind(pattern);
        if !path.is_empty() && !holds_named_ones_alone {
            let gap = if self.text.is_empty() { "" } else { "\n" };
            self.line(&format!("{gap}[{path}]"));
        }
        for (key, value) in keys {
            let shown = self.value(pattern, key.get_ref(), value.get_ref());
            self.line(&format!("{} = {}", key.get_ref(), shown.as_deref().unwrap_or(HIDDEN)));
        }
        for (key, value) in tables {
            let (key, DeValue::Table(entries)) = (key.get_ref(), value.get_ref()) else { continue };
            let path = if path.is_empty() { key.to_string() } else { format!("{path}.{key}") };
            self.table(&path, &below(pattern, key), entries);
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A value as TOML; absent: it is to be hidden.
    fn value(&self, pattern: &str, key: &str, value: &DeValue<'_>) -> Option<String> {
        let show = SHOWN
            .iter()
            .filter(|(tables, _)| tables.contains(&pattern))
            .find_map(|(_, keys)| keys.iter().find(|(known, _)| *known == key))?;
        self.shown(show.1, value)
    }

    fn shown(&self, show: Show, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
            }
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::String(text) => match show {
                Number => None,
                If(holds) => holds(text).then(|| quoted(text)),
                Origin => origin(text).map(|origin| quoted(&origin)),
                People => self.names_people.then(|| quoted(text)),
            },
            DeValue::Array(values) => {
                let values = values.iter().map(|value| self.shown(show, value.get_ref()));
                values.collect::<Option<Vec<_>>>().map(|values| format!("[{}]", values.join(", ")))
            }
            DeValue::Datetime(_) | DeValue::Table(_) => None,
        }
    }
}

/// The pattern of a table in the one of another. The tables of a kind have names.
fn below(pattern: &str, key: &str) -> String {
    match pattern {
        "" => key.to_owned(),
        kind if pattern_of_kind(kind) => format!("{kind}.*"),
        _ => format!("{pattern}.{key}"),
    }
}

/// Whether a table holds others by name.
fn pattern_of_kind(pattern: &str) -> bool {
    ["marzban", "email", "webhook", "alert", "mute"].contains(&pattern)
}

fn has_table(pattern: &str) -> bool {
    pattern_of_kind(pattern) || SHOWN.iter().any(|(tables, _)| tables.contains(&pattern))
}

fn is_address(text: &str) -> bool {
    parse_listen(text).is_ok()
}

/// A duration or a share.
fn is_quantity(text: &str) -> bool {
    let share = |text: &str| text.trim().parse::<f64>().is_ok();
    humantime::parse_duration(text).is_ok() || text.strip_suffix('%').is_some_and(share)
}

fn is_severity(text: &str) -> bool {
    ["info", "warning", "critical"].contains(&text)
}

/// A target's name, or several with `*` and `?`.
fn is_pattern(text: &str) -> bool {
    is_name(&text.replace(['*', '?'], "0"))
}

/// A server's name or address, perhaps with a port.
fn is_host(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:[]".contains(c))
}

fn origin(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let mut origin = format!("{}://{}", url.scheme(), url.host_str()?);
    if let Some(port) = url.port() {
        write!(origin, ":{port}").ok()?;
    }
    let is_whole = ["", "/"].contains(&url.path()) && url.query().is_none() && url.fragment().is_none();
    Some(if is_whole { origin } else { origin + "/<hidden>" })
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            // Those that turn the direction of a line would have it read otherwise than it is.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                quoted.push_str(&escaped(c));
            }
            c if c.is_control() => quoted.push_str(&escaped(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(c: char) -> String {
    format!("\\u{:04X}", u32::from(c))
}

#[cfg(test)]
mod tests;
