//! The texts of a notice that people read, the same for every channel.
//!
//! Names in a notice come from panels, where users may have chosen them. These texts have no line breaks, no control
//! characters and nothing that changes the text direction, and their length is limited.

use std::sync::Arc;

use crate::{
    model::{
        Digest, DigestSection, Named, Notice, NoticeAlert, NoticeStatus, Severity,
        words::{self, one_line},
    },
    wording::{About, Language, Voice},
};

/// The most alerts that a message lists; the rest is counted.
const ROWS: usize = 50;
/// Which alerts messages for people name.
pub(super) const NAMED: Named = Named::News(ROWS);
/// The most characters of a name in a subject line, of a name elsewhere, of a whole subject line, and of a sentence.
const NAME_IN_SUBJECT: usize = 40;
const NAME: usize = 100;
const SUBJECT: usize = 180;
const SENTENCE: usize = 500;
/// The most rules of which a message says what to do.
const ACTIONS: usize = 5;

/// The texts of a notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) language: Language,
    /// `home: node DE-1 is down`. At most 180 characters.
    pub(super) subject: String,
    /// The subject without any name that a panel's users may choose.
    pub(super) plain_subject: String,
    /// What is new, and what has ended; if neither is any, what goes on.
    pub(super) sections: Vec<Section>,
    /// The number of new alerts without a row, by status.
    pub(super) left_out: Vec<String>,
    /// The number of alerts that are not in this notice.
    pub(super) follow: Option<String>,
    /// How many alerts go on that the receiver knows.
    pub(super) still: Option<String>,
    /// What to do.
    pub(super) actions: Vec<Action>,
    /// The page with all alerts.
    pub(super) link: Option<Link>,
    /// The zone of all times, the sender and the receiver.
    pub(super) footer: String,
}

/// Alerts of which the same has become.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) rows: Vec<Row>,
}

/// The texts of an alert.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) status: NoticeStatus,
    pub(super) severity: Severity,
    /// The word for its severity; absent: it has ended.
    pub(super) mark: Option<String>,
    /// What is true of it now.
    pub(super) sentence: String,
    /// Since when, or when it ended; absent: the sentence says it.
    pub(super) time: Option<String>,
}

/// What to do about the alerts of one rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) heading: String,
    pub(super) text: String,
    /// Where the runbook says more.
    pub(super) url: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) text: String,
    pub(super) url: String,
}

impl Words {
    pub(super) fn of(notice: &Notice, voice: &Voice) -> Self {
        if let Some(digest) = &notice.digest {
            return Words::of_digest(digest, notice, voice);
        }
        let parts = Parts::of(notice);
        let (listed, rest) = parts.told.split_at(notice.names(NAMED).min(parts.told.len()));
        let (subject, plain_subject) = parts.subjects(voice);
        let headed = |id: &str, status: NoticeStatus| {
            let rows = listed.iter().filter(|alert| alert.status == status).map(|alert| row(alert, voice));
            Section { heading: voice.text(id), rows: rows.collect() }
        };
        let firing = if parts.goes_on { "heading-still" } else { "heading-new" };
        let sections =
            [headed(firing, NoticeStatus::Firing), headed("heading-resolved", NoticeStatus::Resolved)];
        let uncounted = [
            ("left-out-firing", count(rest, NoticeStatus::Firing)),
            ("left-out-resolved", count(rest, NoticeStatus::Resolved)),
        ];
        let some = |id: &str, count: usize| (count > 0).then(|| voice.count(id, count));
        Words {
            language: voice.language,
            subject,
            plain_subject,
            sections: sections.into_iter().filter(|section| !section.rows.is_empty()).collect(),
            left_out: uncounted.into_iter().filter_map(|(id, count)| some(id, count)).collect(),
            follow: some("follow", notice.follow),
            still: some("still", parts.still),
            actions: actions(listed, voice),
            link: Link::to_all(voice),
            footer: voice.footer(&one_line(&notice.receiver, NAME)),
        }
    }

    fn of_digest(digest: &Digest, notice: &Notice, voice: &Voice) -> Self {
        let row = |sentence: String| Row {
            status: NoticeStatus::Firing,
            severity: Severity::Info,
            mark: None,
            sentence,
            time: None,
        };
        let sections = digest.sections.iter().map(|DigestSection { heading, lines, more }| {
            let more = (*more > 0).then(|| voice.count("digest-more", *more));
            let lines = lines.iter().map(|line| words::sentence(line, SENTENCE)).chain(more);
            Section { heading: words::sentence(heading, SENTENCE), rows: lines.map(row).collect() }
        });
        let subject = words::sentence(&digest.title, SUBJECT);
        Words {
            language: voice.language,
            plain_subject: subject.clone(),
            subject,
            sections: sections.collect(),
            left_out: Vec::new(),
            follow: None,
            still: None,
            actions: Vec::new(),
            // Resellers may not see the pages.
            link: Link::to_all(voice).filter(|_| notice.enclosure.is_none()),
            footer: voice.footer(&one_line(&notice.receiver, NAME)),
        }
    }
}

impl Link {
    fn to_all(voice: &Voice) -> Option<Self> {
        voice.page("/").map(|url| Link { text: voice.text("all-alerts"), url })
    }
}

/// A notice's alerts by what is to be said of them.
struct Parts<'a> {
    /// What is listed, as far as there is room.
    told: &'a [Arc<NoticeAlert>],
    /// Nothing is new, and nothing has ended.
    goes_on: bool,
    /// How many go on besides.
    still: usize,
    new: usize,
    resolved: usize,
    firing: usize,
}

impl<'a> Parts<'a> {
    fn of(notice: &'a Notice) -> Self {
        let all = notice.alerts.as_slice();
        let news = all.len() - notice.known.min(all.len());
        let goes_on = news == 0;
        let (told, known) = if goes_on { (all, &all[..0]) } else { all.split_at(news) };
        let elsewhere = if notice.others_fire { notice.left_out.saturating_sub(notice.follow) } else { 0 };
        let resolved = count(told, NoticeStatus::Resolved);
        let new = if goes_on { 0 } else { told.len() - resolved + notice.follow };
        let still = known.len() + elsewhere;
        let firing = if goes_on { told.len() + elsewhere } else { new + still };
        Parts { told, goes_on, still, new, resolved, firing }
    }

    /// The first line, with and without names.
    fn subjects(&self, voice: &Voice) -> (String, String) {
        let target = match shared(self.told, "target") {
            Shared::By(target) => one_line(target, NAME_IN_SUBJECT),
            Shared::Differs => voice.text("several-targets"),
            Shared::Absent => "proxymeter".to_owned(),
        };
        let counts = match self.told {
            [] => voice.text("subject-none"),
            _ => voice.counts(self.new, self.resolved, self.firing),
        };
        // Mail clients would decode text that looks like an encoded word (RFC 2047).
        let line = |text: &str| words::sentence(text, SUBJECT).replace("=?", "= ?");
        let of_targets = matches!(shared(self.told, "subject"), Shared::Absent)
            && matches!(shared(self.told, "target"), Shared::By(_));
        let what = match self.headline(voice) {
            // It is about the target itself, and names it.
            Some(headline) if of_targets => headline,
            Some(headline) => voice.subject(&target, &headline),
            None => voice.subject(&target, &counts),
        };
        let plain = match shared(self.told, "alertname") {
            // Of what has ended, the summary says what is not true any more.
            Shared::By(alertname) if self.resolved == 0 => {
                format!("{counts} ({})", without_stop(&voice.summary(alertname)))
            }
            Shared::By(_) | Shared::Differs | Shared::Absent => counts,
        };
        (line(&what), line(&voice.subject(&target, &plain)))
    }

    /// What has become of them, if one sentence says it.
    fn headline(&self, voice: &Voice) -> Option<String> {
        let first = self.told.first()?;
        if let ([alert], NoticeStatus::Resolved) = (self.told, first.status) {
            return Some(in_short(&sentence(alert, voice), name(alert), voice)).filter(|_| self.still == 0);
        }
        let names = self.told.iter().map(|alert| one_line(name(alert), NAME_IN_SUBJECT)).take(3);
        let names: Vec<_> = names.collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        if self.new == 0 && !self.goes_on {
            return (self.still == 0).then(|| voice.resolved(&names, self.told.len()));
        }
        let same = |label| !matches!(shared(self.told, label), Shared::Differs);
        let alike = self.resolved == 0 && same("alertname") && same("step") && same("target");
        let count = if self.goes_on { self.told.len() } else { self.new };
        let headline = alike.then(|| voice.headline(&about(first), &names, count))?;
        Some(if self.goes_on { voice.still(&headline) } else { headline })
    }
}

fn row(alert: &NoticeAlert, voice: &Voice) -> Row {
    let (began, until) = alert.times();
    let mark = match alert.status {
        NoticeStatus::Firing => Some(voice.text(&format!("severity-{}", alert.severity.label()))),
        NoticeStatus::Resolved => None,
    };
    Row {
        status: alert.status,
        severity: alert.severity,
        mark,
        sentence: sentence(alert, voice),
        time: voice.time(&about(alert), alert.status, began, until.unwrap_or(began)),
    }
}

/// What is true of an alert. Of one without words, which another version has stored or an earlier message only counted, it
/// is what its labels say, or at least what it is about.
fn sentence(alert: &NoticeAlert, voice: &Voice) -> String {
    let told = ["description", "summary"].iter().find_map(|key| alert.annotations.get(key));
    if let Some(told) = told {
        return words::sentence(told, SENTENCE);
    }
    let name = one_line(name(alert), NAME);
    let fires = alert.status == NoticeStatus::Firing;
    let brief = fires.then(|| voice.headline(&about(alert), &[&name], 1));
    // Of a kind that this version does not know, a headline names nothing.
    brief.filter(|brief| brief.contains(&name)).unwrap_or(name)
}

/// What to do about those that fire, once for each rule.
fn actions(alerts: &[Arc<NoticeAlert>], voice: &Voice) -> Vec<Action> {
    let mut rules: Vec<(&str, Action)> = Vec::new();
    for alert in alerts.iter().filter(|alert| alert.status == NoticeStatus::Firing) {
        let annotation = |name: &str| alert.annotations.get(name).map(|text| words::sentence(text, SENTENCE));
        let Some(text) = annotation("action").filter(|text| !text.is_empty()) else { continue };
        let alertname = label(alert, "alertname").unwrap_or_default();
        if rules.len() < ACTIONS && rules.iter().all(|(known, _)| *known != alertname) {
            let heading = annotation("summary").unwrap_or_default();
            rules.push((alertname, Action { heading, text, url: annotation("runbook_url") }));
        }
    }
    let (what, several) = (voice.text("what-to-do"), rules.len() > 1);
    let headed = |(_, action): (&str, Action)| {
        let about = without_stop(&action.heading);
        let heading = if several { format!("{what} ({about})") } else { what.clone() };
        Action { heading, ..action }
    };
    rules.into_iter().map(headed).collect()
}

/// The beginning of a sentence about this name. The row has the rest: how long it lasted, or why it ended.
fn in_short(sentence: &str, name: &str, voice: &Voice) -> String {
    let named = one_line(name, NAME);
    let (before, mut rest) = sentence.split_once(&*named).unwrap_or(("", sentence));
    let mut kept =
        if before.len() + rest.len() < sentence.len() { format!("{before}{named}") } else { String::new() };
    let behind = rest.trim_start_matches(['\u{2069}', ' ']);
    if voice.alone && behind.starts_with(['(', '（']) {
        // The target stands in brackets behind the name.
        let closed = rest.char_indices().find(|(_, c)| matches!(c, ')' | '）'));
        let (target, behind) = rest.split_at(closed.map_or(0, |(at, c)| at + c.len_utf8()));
        kept += target;
        rest = behind;
    }
    kept += rest.split([';', '；', '؛', '(', '（']).next().unwrap_or_default();
    uncapitalized(without_stop(kept.trim_end()), &named)
}

fn without_stop(sentence: &str) -> &str {
    sentence.trim_end_matches(['.', '。'])
}

/// A sentence after a colon; a name that it begins with stays as it is.
fn uncapitalized(sentence: &str, name: &str) -> String {
    let mut chars = sentence.chars();
    match chars.next() {
        Some(first) if !sentence.starts_with(name) => first.to_lowercase().chain(chars).collect(),
        _ => sentence.to_owned(),
    }
}

fn about(alert: &NoticeAlert) -> About<'_> {
    let label = |name| label(alert, name).unwrap_or_default();
    About {
        alertname: label("alertname"),
        kind: label("kind"),
        subject: label("subject"),
        target: label("target"),
        step: label("step"),
    }
}

fn name(alert: &NoticeAlert) -> &str {
    label(alert, "subject").or(label(alert, "target")).unwrap_or("?")
}

/// Whether all these alerts have the same value of a label.
enum Shared<'a> {
    By(&'a str),
    Differs,
    Absent,
}

fn shared<'a>(alerts: &'a [Arc<NoticeAlert>], name: &str) -> Shared<'a> {
    let mut values = alerts.iter().map(|alert| label(alert, name));
    match values.next() {
        None => Shared::Absent,
        Some(first) if values.any(|other| other != first) => Shared::Differs,
        Some(Some(value)) => Shared::By(value),
        Some(None) => Shared::Absent,
    }
}

fn label<'a>(alert: &'a NoticeAlert, name: &str) -> Option<&'a str> {
    alert.labels.get(name).filter(|value| !value.is_empty())
}

fn count(alerts: &[Arc<NoticeAlert>], status: NoticeStatus) -> usize {
    alerts.iter().filter(|alert| alert.status == status).count()
}

#[cfg(test)]
mod tests;
