//! Shows on stderr how far long user lists are read: bars on a terminal, lines elsewhere.

use std::{
    collections::HashMap,
    io::{self, IsTerminal, Write},
    sync::Arc,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use crate::model::{Report, WalkProgress, words};

/// Between two lines about one list. A list that takes no longer has none.
const LINE_EVERY: Duration = Duration::from_secs(10);
const BAR: &str = "{prefix}: {wide_bar} {msg}";

/// The user lists that are being read.
pub(super) struct Progress {
    /// Absent: stderr is no terminal.
    bars: Option<MultiProgress>,
    lists: HashMap<Arc<str>, List>,
}

/// What is shown of a list.
enum List {
    Bar(ProgressBar),
    NextLine(Instant),
}

impl Progress {
    pub(super) fn new() -> Self {
        Progress { bars: io::stderr().is_terminal().then(MultiProgress::new), lists: HashMap::new() }
    }

    /// Shows how far the list of a target is.
    pub(super) fn show(&mut self, report: &Report) {
        let Some(walk) = report.walk else {
            if let Some(List::Bar(bar)) = self.lists.remove(&report.target) {
                bar.finish_and_clear();
            }
            return;
        };
        let list = self.lists.entry(Arc::clone(&report.target));
        let list = list.or_insert_with(|| match &self.bars {
            Some(bars) => List::Bar(bars.add(bar(&report.target))),
            None => List::NextLine(Instant::now()),
        });
        match list {
            List::Bar(bar) => {
                bar.set_length(length(walk.size.unwrap_or(walk.read)));
                bar.set_position(length(walk.read));
                bar.set_message(format!("users: {}", walk.words()));
            }
            List::NextLine(next) if *next <= Instant::now() && lasts(&walk) => {
                // Nothing can be done about a stderr that is closed.
                drop(writeln!(io::stderr(), "{}: users: {}", report.target, walk.words()));
                *next = Instant::now() + LINE_EVERY;
            }
            List::NextLine(_) => {}
        }
    }
}

/// Whether the rest of the list takes long enough for a line, as far as known.
fn lasts(walk: &WalkProgress) -> bool {
    walk.left.is_none_or(|left| left >= LINE_EVERY)
}

fn bar(target: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
    // A name is on one line of the terminal.
    ProgressBar::new(0).with_style(style).with_prefix(words::one_line(target, 40))
}

fn length(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
