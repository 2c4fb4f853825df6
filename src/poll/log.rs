//! What polling logs: changes, not every poll. Numbers and words, never a name.

use std::{collections::HashSet, time::Duration};

use tracing::{debug, info, warn};

use crate::model::{Outcome, Part, Reason, Report, UnreadableRow, Users, WalkProgress, words};

/// A panel's own count is not logged if it differs by less than this part of the list: users come and go while a list is
/// read.
const TOLERANCE: usize = 100;

/// Logs the outcome of a part when it changes. What concerns the whole target is logged once, however many parts it fails:
/// not of a part while one of the `others` fails for the same reason.
pub(super) fn outcome<'a>(
    target_name: &str,
    part: Part,
    before: Option<&Outcome>,
    outcome: &Outcome,
    others: impl IntoIterator<Item = &'a Outcome>,
) {
    let reason_of = |outcome: &Outcome| match outcome {
        Outcome::Failed { reason, .. } => Some(*reason),
        _ => None,
    };
    let failing: Vec<_> =
        others.into_iter().filter_map(reason_of).filter(|reason| is_of_target(*reason)).collect();
    let part = part.label();
    match (before, outcome) {
        (Some(Outcome::Failed { reason: known, .. }), Outcome::Failed { reason, .. }) if known == reason => {}
        (_, Outcome::Failed { reason, detail }) if failing.contains(reason) => {
            debug!(target_name, part, reason = reason.label(), "polling fails: {detail}");
        }
        (_, Outcome::Failed { reason, detail }) => {
            warn!(target_name, part, reason = reason.label(), "polling fails: {detail}");
        }
        (Some(Outcome::Refused), Outcome::Refused) => {}
        (_, Outcome::Refused) => {
            info!(target_name, part, "this account may not read the part; it is skipped");
        }
        (Some(Outcome::Failed { reason, .. }), Outcome::Up) if failing.contains(reason) => {}
        (Some(Outcome::Failed { reason, .. }), Outcome::Up) if is_of_target(*reason) => {
            info!(target_name, reason = reason.label(), "polling works again");
        }
        (Some(Outcome::Failed { reason, .. }), Outcome::Up) => {
            info!(target_name, part, reason = reason.label(), "polling works again");
        }
        _ => {}
    }
}

/// Whether a failure for this reason is one of the target, or of the way to it, whatever is asked of it.
fn is_of_target(reason: Reason) -> bool {
    match reason {
        Reason::Auth
        | Reason::Banned
        | Reason::Connect
        | Reason::Interrupted
        | Reason::RateLimited
        | Reason::Redirect
        | Reason::ServerError
        | Reason::Timeout
        | Reason::Tls => true,
        Reason::ClientError
        | Reason::Decode
        | Reason::Forbidden
        | Reason::NotFound
        | Reason::NotJson
        | Reason::TooLarge => false,
    }
}

/// How often the first read of a long list is logged while it goes on, and how long it has to take.
const FIRST_READ_EVERY: Duration = Duration::from_secs(60);

/// What was logged of the first read of a long user list.
#[derive(Debug, Default)]
pub(super) struct FirstRead {
    /// When the next line is due, as an uptime; absent: the read has not begun, or is over.
    due: Option<Duration>,
    is_logged: bool,
}

impl FirstRead {
    /// Logs how far the first read of a list is: it takes up to an hour by design.
    pub(super) fn log(&mut self, report: &Report, load: f64, now: Duration) {
        let target_name = &*report.target;
        if let Some(walk) = report.first_read() {
            if let Some(line) = self.goes_on(&walk, load, now) {
                info!(target_name, users = walk.size, users_read = walk.read, "{line}");
            }
        } else if report.users.walked_since().is_some() {
            let took = report.parts.get(&Part::Users).and_then(|state| state.duration).unwrap_or_default();
            let users = report.users.list().len();
            if let Some(line) = self.ended(users, took) {
                info!(target_name, users, "{line}");
            }
        }
    }

    /// The line that is due while the read goes on, if any.
    fn goes_on(&mut self, walk: &WalkProgress, load: f64, now: Duration) -> Option<String> {
        let line = match (self.due, walk.size.zip(walk.left)) {
            (None, Some((users, left))) if left >= FIRST_READ_EVERY => {
                let percent = (load * 1000.0).round() / 10.0;
                Some(format!(
                    "reading {} users, {} at load {percent}%",
                    words::count(users),
                    words::about(left)
                ))
            }
            (None, _) => None,
            (Some(due), _) if now < due => return None,
            (Some(_), _) => Some(format!("first read of the users: {}", walk.words())),
        };
        self.due = Some(now + FIRST_READ_EVERY);
        self.is_logged |= line.is_some();
        line
    }

    /// The line about the end of a read of so many users, if it was logged before.
    fn ended(&mut self, users: usize, took: Duration) -> Option<String> {
        let line =
            || format!("first read of the users: all {} in {}", words::count(users), words::duration(took));
        std::mem::take(self).is_logged.then(line)
    }
}

/// What was logged of a target's finished user lists.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// Rows that are still unreadable.
    unreadable: HashSet<UnreadableRow>,
    /// A difference that is still there.
    difference: Option<Difference>,
}

/// The panel's own count of a list, and the rows that were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Difference {
    counted: usize,
    found: usize,
}

/// What is to be logged of a finished list.
#[derive(Debug, Default, PartialEq, Eq)]
struct News {
    unreadable: Vec<UnreadableRow>,
    differs: Option<Difference>,
    agrees: bool,
}

impl Lists {
    /// Logs what is new about a list that was just finished.
    pub(super) fn finished(&mut self, target_name: &str, users: &Users) {
        let News { unreadable, differs, agrees } = self.news(users);
        for UnreadableRow { place, cause } in unreadable {
            warn!(target_name, place, cause = cause.label(), "a row of the user list cannot be read");
        }
        if let Some(Difference { counted, found }) = differs {
            warn!(target_name, counted, found, "the panel's user count differs from its user list");
        }
        if agrees {
            info!(target_name, "the panel's count agrees with its user list again");
        }
    }

    fn news(&mut self, users: &Users) -> News {
        let first = &users.unreadable().first;
        let unreadable = first.iter().filter(|row| !self.unreadable.contains(row)).copied().collect();
        self.unreadable = first.iter().copied().collect();

        let now = users.counted_otherwise().map(|counted| Difference { counted, found: users.found() });
        let agrees = now.is_none() && self.difference.take().is_some();
        let differs =
            now.filter(|now| now.is_notable() && self.difference.is_none_or(|known| now.is_other(known)));
        self.difference = differs.or(self.difference);
        News { unreadable, differs, agrees }
    }
}

impl Difference {
    fn size(self) -> usize {
        self.counted.abs_diff(self.found)
    }

    fn is_notable(self) -> bool {
        self.size().saturating_mul(TOLERANCE) >= self.found
    }

    /// Whether it is in the other direction, or has doubled or halved.
    fn is_other(self, known: Difference) -> bool {
        let (size, before) = (self.size(), known.size());
        let turned = (self.counted > self.found) != (known.counted > known.found);
        turned || size >= before.saturating_mul(2) || size <= before / 2
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use super::*;
    use crate::model::{Fact, Moment, Report, Unreadable, UnreadableCause, User, UserFacts, WalkEnd};

    fn list(count: usize, total: Option<usize>, unreadable: Unreadable) -> Report {
        let mut report = Report::new("home");
        let page: Vec<_> = (0..count).map(|i| User::named(&format!("u{i}"))).collect();
        let seen = page.iter().map(|user| Arc::clone(&user.name)).collect();
        let end = WalkEnd { page, seen, total, unreadable, ..WalkEnd::default() };
        report.merge(Fact::Users(UserFacts::WalkEnd(end)), Moment::default());
        report
    }

    /// The lines that a sequence of outcomes leads to, by part.
    fn logged(outcomes: &[(Part, Outcome)]) -> Vec<String> {
        let (sender, lines) = std::sync::mpsc::channel();
        let writer = move || Lines(sender.clone());
        let subscriber =
            tracing_subscriber::fmt().with_writer(writer).without_time().with_target(false).with_ansi(false);
        tracing::subscriber::with_default(subscriber.finish(), || {
            let mut parts = BTreeMap::new();
            for (part, now) in outcomes {
                let before = parts.remove(part);
                outcome("home", *part, before, now, parts.values().copied());
                parts.insert(*part, now);
            }
        });
        lines.try_iter().collect()
    }

    struct Lines(std::sync::mpsc::Sender<String>);

    impl std::io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
            self.0.send(String::from_utf8_lossy(line).trim().to_owned()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_target_that_is_down_is_logged_once_and_a_part_that_fails_by_itself_is_too() {
        use Part::{Admins, Nodes, System, Users};
        let failed = |reason| Outcome::Failed { reason, detail: "x".into() };
        let (up, down, odd) = (Outcome::Up, failed(Reason::Connect), failed(Reason::Decode));
        let outcomes = [
            (System, &up),
            (Users, &up),
            (Nodes, &up),
            (Users, &down),
            (System, &down),
            (Nodes, &odd),
            (Admins, &odd),
            (System, &down),
            (Nodes, &down),
            (Users, &up),
            (System, &up),
            (Nodes, &up),
            (Admins, &up),
            (System, &down),
        ];
        let outcomes = outcomes.map(|(part, outcome)| (part, outcome.clone()));
        let expected = [
            "WARN polling fails: x target_name=\"home\" part=\"users\" reason=\"connect\"",
            "WARN polling fails: x target_name=\"home\" part=\"nodes\" reason=\"decode\"",
            "WARN polling fails: x target_name=\"home\" part=\"admins\" reason=\"decode\"",
            "INFO polling works again target_name=\"home\" reason=\"connect\"",
            "INFO polling works again target_name=\"home\" part=\"admins\" reason=\"decode\"",
            "WARN polling fails: x target_name=\"home\" part=\"system\" reason=\"connect\"",
        ];
        assert_eq!(logged(&outcomes), expected);
    }

    #[test]
    fn a_panel_that_counts_otherwise_is_logged_when_it_begins_changes_notably_and_ends() {
        // The panel's count of 1000 users, and what is logged.
        let steps = [
            (Some(1000), ""),
            (None, ""),
            // Users that came or went during the walk.
            (Some(1009), ""),
            (Some(1100), "differs"),
            (Some(1101), ""),
            (Some(1003), ""),
            (Some(1200), "differs"),
            (Some(1090), "differs"),
            (Some(0), "differs"),
            (Some(900), "differs"),
            (Some(usize::MAX), "differs"),
            (Some(usize::MAX), ""),
            (Some(1000), "agrees"),
            (Some(1000), ""),
            (Some(0), "differs"),
            (None, "agrees"),
        ];
        let mut lists = Lists::default();
        for (step, (total, expected)) in steps.into_iter().enumerate() {
            let news = lists.news(&list(1000, total, Unreadable::default()).users);
            let differs = total.map(|counted| Difference { counted, found: 1000 });
            let expected = News {
                differs: differs.filter(|_| expected == "differs"),
                agrees: expected == "agrees",
                ..News::default()
            };
            assert_eq!(news, expected, "step {step}");
        }
    }

    #[test]
    fn a_first_read_is_logged_at_its_start_each_minute_and_at_its_end() {
        let walk = |read, size: Option<usize>, left: Option<u64>| WalkProgress {
            read,
            size,
            took: Duration::ZERO,
            left: left.map(Duration::from_secs),
        };
        // When a page was read, how far the walk was, and what is logged.
        let long = [
            (10, walk(500, Some(20_000), Some(2990)), "reading 20,000 users, about 50 min at load 10%"),
            (60, walk(1000, Some(20_000), Some(2900)), ""),
            (
                70,
                walk(1500, Some(20_000), Some(2700)),
                "first read of the users: 1,500 of 20,000, about 45 min to go",
            ),
            (129, walk(2000, Some(20_000), Some(2700)), ""),
            (200, walk(2500, Some(20_000), None), "first read of the users: 2,500 of 20,000"),
        ];
        let short = [(10, walk(500, Some(1000), Some(59)), ""), (20, walk(990, Some(1000), Some(1)), "")];
        let uncounted = [
            (10, walk(500, None, None), ""),
            (70, walk(1000, None, None), "first read of the users: 1,000 so far"),
        ];
        let cases = [
            (&long[..], "first read of the users: all 20,000 in 50m"),
            (&short[..], ""),
            (&uncounted[..], "first read of the users: all 20,000 in 50m"),
        ];
        for (pages, expected) in cases {
            let mut first = FirstRead::default();
            for (secs, walk, expected) in pages {
                let line = first.goes_on(walk, 0.1, Duration::from_secs(*secs));
                assert_eq!(line.unwrap_or_default(), *expected, "{secs} s");
            }
            assert_eq!(first.ended(20_000, Duration::from_secs(3000)).unwrap_or_default(), expected);
            assert_eq!(first.ended(20_000, Duration::from_secs(3000)), None);
        }
    }

    #[test]
    fn an_unreadable_row_is_logged_once_and_again_after_it_was_readable() {
        use UnreadableCause::{NoName, NotAnObject};
        let row = |place, cause| UnreadableRow { place, cause };
        let steps = [
            (vec![row(3, NoName)], vec![row(3, NoName)]),
            (vec![row(3, NoName)], vec![]),
            (vec![row(3, NotAnObject), row(5, NoName)], vec![row(3, NotAnObject), row(5, NoName)]),
            (vec![row(5, NoName)], vec![]),
            (vec![], vec![]),
            (vec![row(5, NoName)], vec![row(5, NoName)]),
            ((0..1000).map(|place| row(place, NoName)).collect(), {
                (0..Unreadable::FIRST).filter(|place| *place != 5).map(|place| row(place, NoName)).collect()
            }),
        ];
        let mut lists = Lists::default();
        for (step, (rows, expected)) in steps.into_iter().enumerate() {
            let mut unreadable = Unreadable::default();
            rows.into_iter().for_each(|row| unreadable.add(row));
            let news = lists.news(&list(3, None, unreadable).users);
            assert_eq!(news, News { unreadable: expected, ..News::default() }, "step {step}");
        }
    }
}
