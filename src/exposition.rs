//! Every metric about the targets, as text for Prometheus.
//!
//! [`render`] writes the newest reports directly to text, without a tree of metrics in between: a panel may have
//! hundreds of thousands of series. All scrapers share the result until it is outdated; [`Rendered::complete`] adds
//! the alerts and the daemon's own metrics, which differ from scrape to scrape.
//!
//! Each kind of thing (targets, users, nodes, …) has a file with its families and the function that writes them.
//! `view` decides what may be shown: fresh parts, users within the limit, names or hashes.

mod admins;
mod alerts;
mod credentials;
mod family;
mod format;
mod hosts;
mod inbounds;
mod labels;
mod llm;
mod nodes;
mod outbounds;
mod own;
mod sink;
mod targets;
mod text;
mod users;
mod view;

pub use family::{Family, Kind};
pub use format::{Coding, Format};
pub use labels::{Options, UserLabels};

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use crate::model::{ActiveAlerts, Moment, Report};
use sink::{Encoded, Sink};
use text::Text;
use view::{Naming, View};

/// The families about one kind of thing, and the function that writes them.
type Noun = (&'static [&'static Family<'static>], fn(&mut Text, &[View<'_>]));

/// In the order in which they are written.
const NOUNS: [Noun; 9] = [
    (targets::FAMILIES, targets::write),
    (users::FAMILIES, users::write),
    (nodes::FAMILIES, nodes::write),
    (hosts::FAMILIES, hosts::write),
    (inbounds::FAMILIES, inbounds::write),
    (outbounds::FAMILIES, outbounds::write),
    (admins::FAMILIES, admins::write),
    (llm::FAMILIES, llm::write),
    (credentials::FAMILIES, credentials::write),
];

/// Every family about the targets, in the order they are written.
pub fn families() -> impl Iterator<Item = &'static Family<'static>> {
    NOUNS.into_iter().flat_map(|(families, _)| families).copied()
}

/// The families about alerts, which follow those about the targets.
pub fn alert_families() -> &'static [&'static Family<'static>] {
    alerts::FAMILIES
}

/// What is written again for every answer.
#[derive(Clone, Copy, Debug)]
pub struct Tail<'a> {
    pub alerts: &'a ActiveAlerts,
    /// The daemon's own metrics.
    pub own: &'a [MetricFamily],
}

/// The series of some targets at one moment, as text.
#[derive(Debug)]
pub struct Rendered {
    text: Encoded,
    format: Format,
    valid_until: Duration,
    /// By target.
    namings: Vec<Naming>,
}

/// Writes the series of `reports` at `now`. The reports are sorted by target, each target once.
pub fn render(
    reports: &[Arc<Report>],
    now: Moment,
    options: &Options,
    format: Format,
    coding: Coding,
) -> Rendered {
    let mut text = Text::new(format, Sink::new(coding));
    let namings: Vec<_> = reports.iter().map(|report| Naming::new(report, options)).collect();
    let views = reports.iter().zip(&namings);
    let views: Vec<_> = views.map(|(report, naming)| View { report, naming, options, now }).collect();
    for (_, write) in NOUNS {
        write(&mut text, &views);
    }
    Rendered { text: text.pause(), format, valid_until: valid_until(reports, now), namings }
}

/// Values change without a new answer from any panel: those computed from wall time with every whole minute, and those
/// of a part when it becomes stale.
fn valid_until(reports: &[Arc<Report>], now: Moment) -> Duration {
    const MINUTE: i64 = 60_000;
    let past = now.wall.as_millis().rem_euclid(MINUTE);
    let minute = Duration::from_millis(u64::try_from(MINUTE - past).unwrap_or(0));
    let stale = reports
        .iter()
        .flat_map(|report| report.parts.keys().filter_map(|part| report.stale_in(*part, now)))
        .min();
    now.uptime + stale.map_or(minute, |stale| stale.min(minute))
}

impl Rendered {
    /// The daemon's uptime at which the text becomes outdated, even if no report has changed.
    pub fn valid_until(&self) -> Duration {
        self.valid_until
    }

    /// Bytes of text, after compression.
    pub fn size(&self) -> usize {
        self.text.size()
    }

    /// Whether an answer that was made from this is still in use.
    pub fn is_being_sent(&self) -> bool {
        self.text.is_shared()
    }

    /// The whole answer: this text, then alerts and the daemon's own metrics. With `only`, these are limited to series
    /// with the label `target="{only}"`. The pieces are sent in order.
    pub fn complete(&self, tail: &Tail<'_>, only: Option<&str>) -> Vec<Bytes> {
        let mut text = Text::new(self.format, self.text.continuation());
        alerts::write(&mut text, tail.alerts, &self.namings, only);
        own::write(&mut text, tail.own, only);
        if self.format == Format::OpenMetrics {
            text.raw("# EOF\n");
        }
        self.text.join(text.finish())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::model::{Outcome, Part, PartState, Timestamp};

    #[test]
    fn names_follow_the_rules_of_naming() {
        let mut names = HashSet::new();
        for Family { name, kind, labels, help } in families() {
            assert!(names.insert(name), "{name} twice");
            let stem = name.strip_prefix("proxymeter_").unwrap();
            assert!(
                stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(*kind == Kind::Info, name.ends_with("_info"), "{name}");
            assert_eq!(labels.first(), Some(&"target"), "{name}");
            assert!(labels.iter().all(|label| !["job", "instance", "type"].contains(label)), "{name}");
            let polled = ["polled", "Polled", "walked", "read"].iter().any(|word| help.contains(word));
            assert!(polled && help.ends_with('.') && !help.contains(['"', '\\', '\n']), "{name}: {help}");
        }
    }

    #[test]
    fn a_text_is_valid_until_the_next_minute_or_the_first_stale_part() {
        let now = Moment { wall: Timestamp::from_millis(90_500), uptime: Duration::from_secs(1000) };
        let report = |age: u64| {
            let read = Moment { wall: Timestamp::default(), uptime: now.uptime - Duration::from_secs(age) };
            let state = PartState {
                outcome: Outcome::Up,
                last_success: Some(read),
                last_data: Some(read),
                duration: None,
                round: Duration::from_secs(30),
                stale_after: Duration::from_secs(600),
            };
            let mut report = Report::new("t");
            report.parts.insert(Part::System, state);
            Arc::new(report)
        };
        let cases = [
            (vec![], 1_029_500),
            (vec![report(0)], 1_029_500),
            (vec![report(0), report(590)], 1_010_000),
            (vec![report(600)], 1_029_500),
        ];
        for (reports, expected) in cases {
            assert_eq!(valid_until(&reports, now), Duration::from_millis(expected), "{reports:?}");
        }
    }
}
