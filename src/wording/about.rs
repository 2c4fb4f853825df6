//! Sentences about one alert.

use std::time::Duration;

use fluent_bundle::FluentValue;

use super::{
    format::amounts,
    voice::{Args, Voice, args},
};
use crate::model::{
    End, NoticeStatus, Reading, Timestamp,
    words::{self, bytes, one_line},
};

/// The most characters of a name, and of what a panel says about a cause.
const NAME: usize = 100;
const DETAIL: usize = 300;

/// What a sentence is about. Users are called here what the reader may know them by.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its name, e.g. `ProxymeterUserExpiry`.
    pub alertname: &'a str,
    /// `user`, `node`, `target` …
    pub kind: &'a str,
    /// Empty if it is the target.
    pub subject: &'a str,
    /// Empty if it is the daemon itself.
    pub target: &'a str,
    /// Empty if the rule has no steps.
    pub step: &'a str,
}

/// What is to be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    pub reading: &'a Reading,
    /// When it began: of an outage, the first read that failed.
    pub began: Timestamp,
    /// Why and when it ended; absent: it holds.
    pub ended: Option<(End, Timestamp)>,
    pub now: Timestamp,
}

impl Told<'_> {
    /// Whether all is used up, or the time has come.
    fn is_last(&self) -> bool {
        match self.reading {
            Reading::Ends(end) => *end <= self.now,
            Reading::Used { used, limit, .. } => used >= limit,
            Reading::Spent { spent, limit, .. } => spent >= limit,
            Reading::Window { share, .. } => *share >= 1.0,
            Reading::Forecast { .. }
            | Reading::Share(_)
            | Reading::Word(_)
            | Reading::Down { .. }
            | Reading::Count(_)
            | Reading::Unreadable { .. }
            | Reading::Lasting(_)
            | Reading::Attempts { .. }
            | Reading::Unseen { .. }
            | Reading::Devices { .. }
            | Reading::Moved { .. }
            | Reading::Nothing => false,
        }
    }
}

impl Voice {
    /// One sentence that is true now. Of what has ended, it says what holds instead.
    pub fn sentence(&self, about: &About<'_>, told: &Told<'_>) -> String {
        let mut args = self.values(told);
        args.set("name", self.called(about));
        args.set("kind", about.kind.to_owned());
        let Some((end, until)) = told.ended else {
            let last =
                told.is_last().then(|| self.find(&format!("{}.last", about.alertname), &args)).flatten();
            return last.unwrap_or_else(|| self.say(&format!("{}.firing", about.alertname), &args));
        };
        args.set("why", self.text(&format!("end-{}", end.label().replace(' ', "-"))));
        args.set("lasted", self.duration(until.since(told.began)));
        args.set("times", self.span(told.began, until));
        match end {
            End::Deleted | End::Disabled | End::Removed | End::Replaced | End::Clock => {
                self.say(&format!("ended-{}", end.label().replace(' ', "-")), &args)
            }
            End::Renewed | End::ToppedUp | End::Reset | End::Recovered => {
                self.say(&format!("{}.over", about.alertname), &args)
            }
        }
    }

    /// What to do about it, in one line.
    pub fn action(&self, alertname: &str) -> String {
        self.text(&format!("{alertname}.action"))
    }

    /// What every alert of that name is about.
    pub fn summary(&self, alertname: &str) -> String {
        self.find(alertname, &Args::new()).unwrap_or_else(|| alertname.to_owned())
    }

    /// In a few words, what has become of so many subjects: `node DE-1 is down`, or `3 users expire within 1 day (ann,
    /// bob, cy)`. `about` is one of them.
    pub fn headline(&self, about: &About<'_>, names: &[&str], count: usize) -> String {
        let args = args([
            ("count", count.into()),
            ("names", self.names(names.iter().copied(), count).into()),
            ("step", self.step(about.step).into()),
            ("kind", about.kind.to_owned().into()),
        ]);
        let is_last = matches!(about.step, "expired" | "100%");
        let last = is_last.then(|| self.find(&format!("{}.head-last", about.alertname), &args)).flatten();
        let head = || self.find(&format!("{}.head", about.alertname), &args);
        last.or_else(head).unwrap_or_else(|| about.alertname.to_owned())
    }

    /// When it began or ended; absent: the sentence says it.
    pub fn time(
        &self,
        about: &About<'_>,
        status: NoticeStatus,
        began: Timestamp,
        until: Timestamp,
    ) -> Option<String> {
        let (id, at) = match status {
            // Its sentence has the time that counts.
            NoticeStatus::Firing if is_date(about.step) => return None,
            NoticeStatus::Firing => ("since", began),
            NoticeStatus::Resolved if !about.step.is_empty() => ("ended", until),
            NoticeStatus::Resolved => return None,
        };
        Some(self.say(id, &args([("date", self.date(at).into())])))
    }

    fn called(&self, about: &About<'_>) -> String {
        let line = |name| one_line(name, NAME);
        let (subject, target) = (line(about.subject), line(about.target));
        match (subject.is_empty(), target.is_empty()) {
            (true, _) => self.name(&target).into_owned(),
            (false, false) if self.alone => {
                let [name, target] = [subject, target].map(|name| self.name(&name).into_owned());
                self.say("name-of-target", &args([("name", name.into()), ("target", target.into())]))
            }
            (false, _) => self.name(&subject).into_owned(),
        }
    }

    /// `7d` is 7 days, and `95%` is 95 % or more.
    fn step(&self, label: &str) -> String {
        if let Ok(time) = humantime::parse_duration(label) {
            return self.duration(time);
        }
        let or_more = |percent: String| self.say("or-more", &args([("percent", percent.into())]));
        label.strip_suffix('%').map_or_else(|| label.to_owned(), |share| or_more(self.share(share)))
    }

    pub(super) fn share(&self, percent: &str) -> String {
        self.say("percent", &args([("n", percent.to_owned().into())]))
    }

    fn values(&self, told: &Told<'_>) -> Args<'static> {
        // Something is not nothing.
        let of = |part: u64, all: u64| match u128::from(part) * 100 / u128::from(all.max(1)) {
            0 if part > 0 => "< 1".to_owned(),
            percent => percent.to_string(),
        };
        let whole = |share: f64| format!("{:.0}", share * 100.0);
        let mut args = Args::new();
        let mut set = |name: &'static str, text: String| args.set(name, FluentValue::from(text));
        // Which sentence fits, where that depends on what is known.
        let mut holds = "known";
        match told.reading {
            Reading::Ends(end) => {
                set("when", self.relative(*end, told.now));
                set("date", self.date(*end));
                set("day", self.day(*end));
            }
            Reading::Used { used, limit, resets } => {
                let (part, whole) = amounts(bytes(*used), &bytes(*limit));
                set("percent", self.share(&of(*used, *limit)));
                set("used", part);
                set("limit", whole);
                if let Some(resets) = resets {
                    holds = "resets";
                    set("day", self.day(*resets));
                }
            }
            Reading::Forecast { at, used, limit, daily } => {
                set("when", self.relative(*at, told.now));
                set("day", self.day(*at));
                set("used", bytes(*used));
                set("limit", bytes(*limit));
                set("daily", bytes(*daily));
            }
            Reading::Share(share) => set("percent", self.share(&whole(*share))),
            Reading::Word(word) => set("cause", self.cause(word)),
            Reading::Down { cause, detail, until } => {
                let mut cause = self.cause(cause);
                if let Some(detail) = detail {
                    let detail = self.name(&one_line(detail, DETAIL)).into_owned();
                    cause = self.say("cause-with-detail", &args_of(cause, ("detail", detail)));
                }
                if let Some(until) = until {
                    cause = self.say("cause-until", &args_of(cause, ("date", self.date(*until))));
                }
                set("cause", cause);
            }
            Reading::Count(count) => args.set("count", *count),
            Reading::Unreadable { rows, cause } => {
                set("cause", self.cause(cause));
                args.set("count", *rows);
            }
            Reading::Lasting(secs) => set("time", self.duration(Duration::from_secs(*secs))),
            Reading::Window { share, resets } => {
                set("percent", self.share(&whole(*share)));
                if let Some(resets) = resets {
                    holds = "resets";
                    set("when", self.relative(*resets, told.now));
                    set("date", self.date(*resets));
                }
            }
            Reading::Spent { spent, limit, unit, period, since: _ } => {
                let (part, whole) = amounts(self.amount(*spent, *unit), &self.amount(*limit, *unit));
                set("percent", self.share(&of(*spent, *limit)));
                set("used", part);
                set("limit", whole);
                set("period", period.label().to_owned());
            }
            Reading::Attempts { failed, all } => {
                set("percent", self.share(&of(*failed, *all)));
                set("failed", words::count(*failed));
                set("all", words::count(*all));
            }
            Reading::Unseen { since, never } => {
                if *never {
                    holds = "never";
                }
                set("when", self.relative(*since, told.now));
                set("date", self.date(*since));
            }
            Reading::Moved { bytes: moved, limit, within } => {
                set("used", bytes(*moved));
                set("limit", bytes(*limit));
                set("time", self.duration(Duration::from_secs(*within)));
            }
            Reading::Devices { used, limit } => {
                set("limit", words::count(*limit));
                args.set("count", *used);
            }
            Reading::Nothing => holds = "nothing",
        }
        args.set("holds", holds);
        args
    }

    /// A cause that is one of a closed set, in this language; another as it is.
    pub fn cause(&self, cause: &str) -> String {
        let words = cause.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let id = words.fold("cause".to_owned(), |id, word| id + "-" + &word.to_ascii_lowercase());
        let known = self.find(&id, &Args::new());
        known.unwrap_or_else(|| self.name(&one_line(cause, DETAIL)).into_owned())
    }
}

fn args_of(cause: String, (name, text): (&'static str, String)) -> Args<'static> {
    args([("cause", cause.into()), (name, text.into())])
}

/// Whether a step is that a time comes.
fn is_date(step: &str) -> bool {
    step == "expired" || humantime::parse_duration(step).is_ok()
}
