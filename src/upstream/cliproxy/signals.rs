//! What providers say of quotas in the headers of their answers. Nothing is asked of a provider for this.
//!
//! Claude names its windows (`5h`, `7d`) and gives fractions. Codex has a first and a second place with percents, and the
//! window in a place is known by its length alone.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::names;
use crate::{
    model::{QuotaWindow, Timestamp},
    upstream::json::{Object, OddFields},
};

const CLAUDE: &str = "anthropic-ratelimit-unified-";
const CODEX: &str = "x-codex-";
const RETRY_AFTER: &str = "retry-after";
/// The most windows of one set of headers.
const WINDOWS: usize = 32;
/// The longest header value that is looked at.
const VALUE: usize = 64;

/// The headers of one answer that are looked at. All others are dropped at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Signals {
    /// Name in lower case, and value.
    headers: Vec<(String, String)>,
    pub(super) retry_after: Option<Duration>,
}

impl Signals {
    /// Reads `{"Name": "value"}` or `{"Name": ["value"]}`.
    pub(super) fn read(raw: Option<&str>) -> Signals {
        let odd = OddFields::default();
        let mut signals = Signals::default();
        let Some(object) = raw.and_then(|raw| Object::new("headers", raw, &odd)) else { return signals };
        for (name, raw) in object.entries() {
            let name = name.to_ascii_lowercase();
            if !name.starts_with(CLAUDE) && !name.starts_with(CODEX) && name != RETRY_AFTER {
                continue;
            }
            let Some(value) = first_text(raw).filter(|value| value.len() <= VALUE) else { continue };
            if name == RETRY_AFTER {
                signals.retry_after = value.trim().parse().ok().map(Duration::from_secs);
            } else if signals.headers.len() < WINDOWS * 6 {
                signals.headers.push((name, value));
            }
        }
        signals
    }

    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// The quota windows that the headers of an answer of that time describe. `model` is empty for the whole credential.
    pub(super) fn windows(&self, model: &Arc<str>, observed: Timestamp) -> Vec<Observed> {
        let mut claude = BTreeMap::<&str, Window>::new();
        let mut codex = BTreeMap::<&str, Window>::new();
        for (name, value) in &self.headers {
            if let Some(rest) = name.strip_prefix(CLAUDE)
                && let Some((window, field)) = rest.rsplit_once('-')
            {
                claude.entry(window).or_default().set_of_claude(field, value);
            } else if let Some(rest) = name.strip_prefix(CODEX)
                && let Some((place, field)) = place_of_codex(rest)
            {
                codex.entry(place).or_default().set_of_codex(field, value, observed);
            }
        }
        let claude = claude.into_iter().filter_map(|(name, window)| {
            let name = is_window(name).then(|| Arc::from(name))?;
            window.has_data().then(|| window.seen(Arc::clone(model), name, observed))
        });
        let codex = codex.into_iter().filter_map(|(place, window)| {
            let name = length_name(window.minutes?)?;
            // A place of its own namespace is the quota of some models.
            let of = place.rsplit_once('-').map_or_else(|| Arc::clone(model), |(of, _)| names::model(of));
            window.has_data().then(|| window.seen(of, name, observed))
        });
        claude.chain(codex).take(WINDOWS).collect()
    }
}

/// A quota window, and when it was seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) window: QuotaWindow,
    at: Timestamp,
}

impl Observed {
    /// Whether it still says something at `now`: the window that it was seen in has not ended.
    pub(super) fn is_current(&self, now: Timestamp) -> bool {
        let length = QuotaWindow::length_of(&self.window.window).unwrap_or(QuotaWindow::UNKNOWN_LENGTH);
        self.window.resets.unwrap_or_else(|| self.at.saturating_add(length)) > now
    }
}

#[derive(Default)]
struct Window {
    used_ratio: Option<f64>,
    resets: Option<Timestamp>,
    rejected: bool,
    minutes: Option<u64>,
}

impl Window {
    fn set_of_claude(&mut self, field: &str, value: &str) {
        match field {
            // A fraction in headers. Other answers of the provider have percents.
            "utilization" => {
                self.used_ratio = number(value).map(|used| if used > 10.0 { used / 100.0 } else { used });
            }
            "reset" => self.resets = seconds(value),
            "status" => self.rejected = value == "rejected",
            _ => {}
        }
    }

    fn set_of_codex(&mut self, field: &str, value: &str, observed: Timestamp) {
        match field {
            "used-percent" => self.used_ratio = number(value).map(|percent| percent / 100.0),
            "window-minutes" => self.minutes = value.trim().parse().ok(),
            "reset-at" => self.resets = seconds(value),
            "reset-after-seconds" => {
                let after = value.trim().parse().ok().map(Duration::from_secs);
                self.resets = self.resets.or_else(|| Some(observed.saturating_add(after?)));
            }
            _ => {}
        }
    }

    fn has_data(&self) -> bool {
        self.used_ratio.is_some() || self.rejected
    }

    fn seen(self, model: Arc<str>, window: Arc<str>, at: Timestamp) -> Observed {
        let used_ratio = self.used_ratio.or(self.rejected.then_some(1.0));
        Observed { window: QuotaWindow { model, window, used_ratio, resets: self.resets }, at }
    }
}

/// The place and the field of a Codex header: `primary-used-percent`, or `spark-primary-used-percent` of a namespace.
fn place_of_codex(rest: &str) -> Option<(&str, &str)> {
    ["primary-", "secondary-"].into_iter().find_map(|place| {
        let at = rest.find(place)?;
        let starts_here = at == 0 || rest.get(..at)?.ends_with('-');
        let end = at + place.len();
        starts_here.then_some((rest.get(..end - 1)?, rest.get(end..)?))
    })
}

fn is_window(name: &str) -> bool {
    (1..=16).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A length as a label, e.g. `5h`.
fn length_name(minutes: u64) -> Option<Arc<str>> {
    const DAY: u64 = 24 * 60;
    let name = match minutes {
        0 => return None,
        _ if minutes.is_multiple_of(DAY) => format!("{}d", minutes / DAY),
        _ if minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        _ => format!("{minutes}m"),
    };
    Some(name.into())
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
}

fn seconds(text: &str) -> Option<Timestamp> {
    text.trim().parse().ok().map(Timestamp::from_secs)
}

fn first_text(raw: &str) -> Option<String> {
    serde_json::from_str::<String>(raw)
        .ok()
        .or_else(|| serde_json::from_str::<Vec<String>>(raw).ok()?.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

    fn windows(headers: &str) -> Vec<(String, String, Option<f64>, Option<i64>)> {
        let signals = Signals::read(Some(headers));
        let told = |Observed { window, .. }: Observed| {
            let QuotaWindow { model, window, used_ratio, resets } = window;
            (model.to_string(), window.to_string(), used_ratio, resets.map(Timestamp::as_secs))
        };
        signals.windows(&Arc::default(), NOW).into_iter().map(told).collect()
    }

    #[test]
    fn windows_are_named_by_claude_and_by_their_length_in_codex() {
        let some =
            |model: &str, window: &str, used, resets| (model.to_owned(), window.to_owned(), used, resets);
        let cases = [
            (
                r#"{"Anthropic-Ratelimit-Unified-5h-Utilization": ["0.42"], "Anthropic-Ratelimit-Unified-5h-Reset": ["1790000400"],
                    "anthropic-ratelimit-unified-7d_oi-utilization": "0.91", "Anthropic-Ratelimit-Unified-Status": ["allowed"],
                    "Anthropic-Ratelimit-Unified-7d-Status": "rejected", "Set-Cookie": ["canary"]}"#,
                vec![
                    some("", "5h", Some(0.42), Some(1_790_000_400)),
                    some("", "7d", Some(1.0), None),
                    some("", "7d_oi", Some(0.91), None),
                ],
            ),
            (
                r#"{"X-Codex-Primary-Used-Percent": ["83"], "X-Codex-Primary-Window-Minutes": ["300"],
                    "X-Codex-Primary-Reset-At": ["1790001600"], "X-Codex-Secondary-Used-Percent": "12",
                    "X-Codex-Secondary-Window-Minutes": "10080", "X-Codex-Secondary-Reset-After-Seconds": "400",
                    "X-Codex-Plan-Type": "plus", "X-Codex-Credits-Balance": "5"}"#,
                vec![
                    some("", "5h", Some(0.83), Some(1_790_001_600)),
                    some("", "7d", Some(0.12), Some(1_790_000_400)),
                ],
            ),
            // The places are swapped, one has no length, and one is of a model.
            (
                r#"{"X-Codex-Primary-Used-Percent": "1", "X-Codex-Primary-Window-Minutes": "10080",
                    "X-Codex-Secondary-Used-Percent": "2",
                    "X-Codex-Spark-Primary-Used-Percent": "50", "X-Codex-Spark-Primary-Window-Minutes": "90"}"#,
                vec![some("", "7d", Some(0.01), None), some("spark", "90m", Some(0.5), None)],
            ),
            (
                r#"{"Anthropic-Ratelimit-Unified-5h-Utilization": "42", "Anthropic-Ratelimit-Unified-7d-Utilization": "1.2"}"#,
                vec![some("", "5h", Some(0.42), None), some("", "7d", Some(1.2), None)],
            ),
            (
                r#"{"Anthropic-Ratelimit-Unified-5h-Utilization": "NaN", "X-Codex-Primary-Window-Minutes": {}}"#,
                vec![],
            ),
            ("[]", vec![]),
        ];
        for (headers, expected) in cases {
            assert_eq!(windows(headers), expected, "{headers}");
        }
    }

    #[test]
    fn a_window_is_current_until_its_reset_or_its_length_has_passed() {
        let seen = |window: &str, resets: Option<i64>| Observed {
            window: QuotaWindow {
                model: Arc::default(),
                window: window.into(),
                used_ratio: Some(0.5),
                resets: resets.map(Timestamp::from_secs),
            },
            at: NOW,
        };
        let later = |secs: u64| NOW.saturating_add(Duration::from_secs(secs));
        for (window, resets, current, over) in [
            ("5h", Some(1_790_000_400), 399, 400),
            ("5h", None, 5 * 3600 - 1, 5 * 3600),
            ("7d_oi", None, 7 * 86_400 - 1, 7 * 86_400),
            ("odd", None, 86_399, 86_400),
        ] {
            let observed = seen(window, resets);
            assert!(observed.is_current(later(current)), "{window}");
            assert!(!observed.is_current(later(over)), "{window}");
        }
    }

    #[test]
    fn retry_after_is_seconds() {
        let headers = r#"{"Retry-After": ["120"]}"#;
        assert_eq!(Signals::read(Some(headers)).retry_after, Some(Duration::from_secs(120)));
        assert!(Signals::read(None).is_empty());
    }
}
