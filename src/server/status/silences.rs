//! Who is silenced until when, and the mutes in force.

use serde::Serialize;

use super::{rows::When, text::name};
use crate::{
    model::{ActiveMute, Silence, SilenceState, words::count},
    server::{people, seen::Seen},
};

/// Silences and mutes that are shown one by one.
const SHOWN: usize = 50;

#[derive(Serialize)]
pub(super) struct Silences {
    rows: Vec<Row>,
    mutes: Vec<MuteRow>,
    /// Not shown; absent if all are.
    more: Option<String>,
}

#[derive(Serialize)]
struct Row {
    matchers: Vec<String>,
    /// Firing alerts that it holds back.
    alerts: String,
    /// Absent: it has begun.
    starts: Option<When>,
    ends: When,
    author: String,
    comment: String,
    id: String,
}

#[derive(Serialize)]
struct MuteRow {
    name: String,
    matchers: Vec<String>,
    below: Option<&'static str>,
    ends: When,
}

impl Silences {
    pub(super) fn new(seen: &Seen) -> Self {
        let now = seen.now.wall;
        let all = seen.alerts.silences.iter().filter(|silence| silence.state(now) != SilenceState::Expired);
        let mut silences: Vec<_> = all.collect();
        silences.sort_by_key(|silence| (silence.state(now), silence.ends_at));
        let more = silences.len().saturating_sub(SHOWN);
        Silences {
            rows: silences.into_iter().take(SHOWN).map(|silence| Row::new(silence, seen)).collect(),
            mutes: seen.alerts.mutes.iter().take(SHOWN).map(|mute| MuteRow::new(mute, seen)).collect(),
            more: (more > 0).then(|| count(more)),
        }
    }
}

impl Row {
    fn new(silence: &Silence, seen: &Seen) -> Self {
        let (now, labels) = (seen.now.wall, &seen.setup.options.labels);
        let matchers = silence.matchers.iter().map(|matcher| {
            let value = people::value(silence, matcher, labels);
            format!("{}{}{}", matcher.name(), matcher.op().label(), name(&value))
        });
        let alerts = seen.alerts.iter().filter(|alert| alert.silenced_by.contains(&silence.id)).count();
        Row {
            matchers: matchers.collect(),
            alerts: count(alerts),
            starts: (now < silence.starts_at).then(|| When::new(silence.starts_at, now)),
            ends: When::new(silence.ends_at, now),
            author: name(&silence.created_by),
            comment: silence.comment.split(' ').map(name).collect::<Vec<_>>().join(" "),
            id: silence.id.to_string(),
        }
    }
}

impl MuteRow {
    fn new(mute: &ActiveMute, seen: &Seen) -> Self {
        let labels = &seen.setup.options.labels;
        let matchers = mute.matchers.iter().map(|(label, pattern)| {
            format!("{label}={}", name(people::pattern(mute, label, pattern, labels)))
        });
        MuteRow {
            name: name(&mute.name),
            matchers: matchers.collect(),
            below: mute.below.map(|severity| severity.label()),
            ends: When::new(mute.until, seen.now.wall),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
