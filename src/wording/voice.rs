use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use fluent_bundle::{FluentArgs, FluentValue};
use jiff::tz::TimeZone;

use super::language::Language;

/// How one receiver is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voice {
    pub language: Language,
    /// In which times are written.
    pub zone: TimeZone,
    /// The address of the daemon's pages, without a slash at its end; absent: links are left out.
    pub pages: Option<Arc<str>>,
    /// Whether each sentence stands alone: nothing around it says the target or the zone, so that it does.
    pub alone: bool,
}

impl Default for Voice {
    fn default() -> Self {
        Voice::new(Language::En, TimeZone::UTC, "")
    }
}

/// What a sentence is filled with.
pub(super) type Args<'a> = FluentArgs<'a>;

impl Voice {
    /// A voice for places that show no more than the sentence itself.
    pub fn new(language: Language, zone: TimeZone, pages: &str) -> Self {
        let pages = Some(pages.trim_end_matches('/')).filter(|pages| !pages.is_empty());
        Voice { language, zone, pages: pages.map(Arc::from), alone: true }
    }

    /// A text without anything to fill in.
    pub fn text(&self, id: &str) -> String {
        self.say(id, &FluentArgs::new())
    }

    /// A text about so many.
    pub fn count(&self, id: &str, count: usize) -> String {
        self.say(id, &args([("count", count.into())]))
    }

    /// The message `id`, or with a dot the attribute of a message. Every language has all of them.
    pub(super) fn say(&self, id: &str, args: &FluentArgs<'_>) -> String {
        self.find(id, args).unwrap_or_else(|| id.to_owned())
    }

    pub(super) fn find(&self, id: &str, args: &FluentArgs<'_>) -> Option<String> {
        let (message, attribute) = id.split_once('.').unwrap_or((id, ""));
        let bundle = self.language.bundle();
        let message = bundle.get_message(message)?;
        let pattern = match attribute {
            "" => message.value()?,
            name => message.get_attribute(name)?.value(),
        };
        let mut errors = Vec::new();
        Some(bundle.format_pattern(pattern, Some(args), &mut errors).into_owned())
    }

    /// The address of a page of the daemon, by a path that begins with a slash.
    pub fn page(&self, path: &str) -> Option<String> {
        self.pages.as_ref().map(|pages| format!("{pages}{path}"))
    }

    /// Where the runbook speaks of an alert.
    pub fn runbook(&self, alertname: &str) -> Option<String> {
        self.page(&format!("/runbook#{}", anchor(alertname)))
    }

    /// A name that others have chosen. Letters of the other direction do not change the order of what is around it.
    pub(super) fn name<'a>(&self, name: &'a str) -> Cow<'a, str> {
        // In a text from right to left, Fluent isolates everything that is filled in.
        if self.language.is_rtl() || !name.chars().any(is_rtl) {
            return name.into();
        }
        isolated(name).into()
    }
}

/// The anchor that GitHub gives to a heading. An alert's entry in the runbook has its name as heading.
pub fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().replace(|c| !kept(&c), "").replace(' ', "-")
}

/// What every alert of this name is about, in English; empty if there is none.
pub fn summary(alertname: &str) -> &'static str {
    static SUMMARIES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
        let lines = Language::En.source().lines().filter_map(|line| line.split_once(" = "));
        let alerts = lines.filter(|(id, _)| id.starts_with("Proxymeter"));
        alerts.map(|(alertname, text)| (alertname, text.to_owned())).collect()
    });
    SUMMARIES.get(alertname).map_or("", String::as_str)
}

/// As Fluent isolates what is filled in.
pub(super) fn isolated(name: &str) -> String {
    format!("\u{2068}{name}\u{2069}")
}

/// A letter of a script that is written from right to left.
pub(super) fn is_rtl(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1eeff}')
}

pub(super) fn args<'a, const N: usize>(pairs: [(&'a str, FluentValue<'a>); N]) -> FluentArgs<'a> {
    pairs.into_iter().collect()
}
