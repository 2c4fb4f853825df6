//! Every metric about the targets, as text for Prometheus.
//!
//! The newest reports are written directly to text, without a tree of metrics in between: a panel may have hundreds of
//! thousands of series. [`write()`] writes a whole answer. [`Chunks`] keeps what was written, so that a new answer of a
//! panel causes only what it changes to be written again, and all scrapers share the result; [`own()`] is the end of it, which
//! differs from scrape to scrape, and [`join`] makes an answer of both.
//!
//! Each kind of thing (targets, users, nodes, …) has a file with its families and the function that writes them.
//! `view` decides what may be shown: fresh parts, users within the limit, names or hashes.

mod admins;
mod alerts;
mod chunks;
mod credentials;
mod encoded;
mod family;
mod format;
mod hosts;
mod inbounds;
mod labels;
mod llm;
mod nodes;
mod outbounds;
mod own;
mod targets;
mod text;
mod user_nodes;
mod user_online;
mod user_rows;
mod users;
mod view;

pub use chunks::{Chunks, Page};
pub use encoded::{Encoded, join};
pub use family::{Family, Kind};
pub use format::{Coding, Format};
pub use labels::{Options, UserLabels};

use std::{mem, sync::Arc, time::Duration};

use bytes::Bytes;
use prometheus::proto::MetricFamily;

use crate::model::{ActiveAlerts, Moment, Report};
use encoded::{BLOCK, Encoder};
use text::{Sink, Text};
use view::{Naming, View};

/// The families about one kind of thing, and the function that writes them for some targets.
struct Noun {
    families: &'static [&'static Family<'static>],
    write: fn(&mut Text<'_>, &[View<'_>]),
    outdated_by: Change,
}

/// What outdates the text of a noun, beside time.
#[derive(Clone, Copy)]
enum Change {
    /// Any new report.
    Report,
    /// What [`user_rows::Source`] names.
    Users,
    /// What [`user_online::Source`] names.
    Online,
}

/// In the order in which they are written.
static NOUNS: [Noun; 12] = [
    Noun { families: targets::FAMILIES, write: targets::write, outdated_by: Change::Report },
    Noun { families: users::FAMILIES, write: users::write, outdated_by: Change::Report },
    Noun { families: user_rows::FAMILIES, write: user_rows::write, outdated_by: Change::Users },
    Noun { families: user_online::FAMILIES, write: user_online::write, outdated_by: Change::Online },
    Noun { families: user_nodes::FAMILIES, write: user_nodes::write, outdated_by: Change::Report },
    Noun { families: nodes::FAMILIES, write: nodes::write, outdated_by: Change::Report },
    Noun { families: hosts::FAMILIES, write: hosts::write, outdated_by: Change::Report },
    Noun { families: inbounds::FAMILIES, write: inbounds::write, outdated_by: Change::Report },
    Noun { families: outbounds::FAMILIES, write: outbounds::write, outdated_by: Change::Report },
    Noun { families: admins::FAMILIES, write: admins::write, outdated_by: Change::Report },
    Noun { families: llm::FAMILIES, write: llm::write, outdated_by: Change::Report },
    Noun { families: credentials::FAMILIES, write: credentials::write, outdated_by: Change::Report },
];

/// Every family about the targets, in the order they are written.
pub fn families() -> impl Iterator<Item = &'static Family<'static>> {
    NOUNS.iter().flat_map(|noun| noun.families).copied()
}

/// The families about alerts, which follow those about the targets.
pub fn alert_families() -> &'static [&'static Family<'static>] {
    alerts::FAMILIES
}

/// What an answer shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Sorted by target, each target once.
    pub reports: &'a [Arc<Report>],
    pub alerts: &'a Arc<ActiveAlerts>,
    pub options: &'a Options,
    pub now: Moment,
    /// Of alerts and of the daemon's own metrics, only the series with the label `target="{only}"`.
    pub only: Option<&'a str>,
}

/// Size in bytes of the pieces of an answer that is written while it is sent.
const PIECE: usize = 256 * 1024;

/// Writes a whole answer, in pieces that `to` takes. When it returns false, nobody wants the rest.
pub fn write(shown: &Shown<'_>, own: &[MetricFamily], format: Format, mut to: impl FnMut(Bytes) -> bool) {
    let mut is_wanted = true;
    let mut take = |text: &mut Vec<u8>| {
        if is_wanted {
            is_wanted = to(Bytes::from(mem::replace(text, Vec::with_capacity(text.capacity()))));
        }
        text.clear();
    };
    let namings = shown.namings();
    let views = shown.reports.iter().zip(&namings).map(|(report, naming)| shown.view(report, naming));
    let views: Vec<_> = views.collect();
    let mut text = Text::new(format, PIECE, Sink::Whole(&mut take));
    for Noun { write, .. } in &NOUNS {
        write(&mut text, &views);
    }
    alerts::write(&mut text, shown.alerts, &namings, shown.only);
    own::write(&mut text, own, shown.only);
    finish(text);
}

/// Writes the end of an answer: the daemon's own metrics, which differ from scrape to scrape.
pub fn own(families: &[MetricFamily], format: Format, coding: Coding, only: Option<&str>) -> Encoded {
    let mut encoder = Encoder::new(coding);
    let mut take = |text: &mut Vec<u8>| encoder.take(text);
    let mut text = Text::new(format, BLOCK, Sink::Whole(&mut take));
    own::write(&mut text, families, only);
    finish(text);
    encoder.end()
}

fn finish(mut text: Text<'_>) {
    if text.format() == Format::OpenMetrics {
        text.raw("# EOF\n");
    }
    text.finish();
}

impl Shown<'_> {
    fn namings(&self) -> Vec<Naming> {
        self.reports.iter().map(|report| Naming::new(report, self.options)).collect()
    }

    fn view<'v>(&'v self, report: &'v Report, naming: &'v Naming) -> View<'v> {
        View { report, naming, options: self.options, now: self.now }
    }
}

/// Values change without a new answer from any panel: those computed from wall time with every whole minute, and those
/// of a part when it becomes stale.
fn valid_until(report: &Report, now: Moment) -> Duration {
    const MINUTE: i64 = 60_000;
    let past = now.wall.as_millis().rem_euclid(MINUTE);
    let minute = Duration::from_millis(u64::try_from(MINUTE - past).unwrap_or(0));
    let stale = report.parts.keys().filter_map(|part| report.stale_in(*part, now)).min();
    now.uptime + stale.map_or(minute, |stale| stale.min(minute))
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
            report
        };
        let cases = [
            (Report::new("t"), 1_029_500),
            (report(0), 1_029_500),
            (report(590), 1_010_000),
            (report(600), 1_029_500),
        ];
        for (report, expected) in cases {
            assert_eq!(valid_until(&report, now), Duration::from_millis(expected), "{report:?}");
        }
    }
}
