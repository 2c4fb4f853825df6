//! What was used by day and by month, as pictures and in words.

use std::collections::HashMap;

use serde::Serialize;

use super::super::seen::Seen;
use crate::{
    model::{
        Marks, Report,
        words::{bytes, count},
    },
    server::api::usage::unit,
    store::{By, SubjectKind, UsageQuery, UsageRow},
};

/// Width and height of a picture, without a unit: it is as wide as its place.
const WIDTH: usize = 744;
const HEIGHT: u64 = 120;

/// The use of one subject.
#[derive(Serialize)]
pub(super) struct Use {
    /// Absent: nothing is known.
    charts: Option<[Chart; 2]>,
    /// Why the history cannot be read; absent: it can be.
    unreadable: Option<String>,
    zone: String,
    /// Whether a period is marked so.
    has_gap: bool,
    has_reset: bool,
}

#[derive(Serialize)]
struct Chart {
    /// `day` or `month`.
    by: &'static str,
    bars: Vec<Bar>,
    first: String,
    last: String,
    sum: String,
    most: String,
    /// The same in words, the newest first.
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Bar {
    x: usize,
    width: usize,
    y: u64,
    height: u64,
    is_marked: bool,
    title: String,
}

#[derive(Serialize)]
struct Row {
    period: String,
    used: String,
    note: String,
}

impl Use {
    /// `name` is the one under which the history has the subject. This reads the disk.
    pub(super) fn of(seen: &Seen, report: &Report, kind: SubjectKind, name: &str) -> Self {
        let today = seen.usage.today();
        let unit = unit(seen, kind, report);
        let words = |used: u64| if unit == "bytes" { bytes(used) } else { format!("{} {unit}", count(used)) };
        let read = |by: By| {
            let query = UsageQuery {
                target: report.id(),
                kind,
                name: Some(name.to_owned()),
                by,
                periods: by.first_kept(today)..=by.of(today),
                after: None,
                limit: usize::try_from(by.kept()).unwrap_or_default(),
            };
            seen.usage.rows(&query)
        };
        let both = read(By::Day).and_then(|days| Ok((days, read(By::Month)?)));
        let unreadable = both.as_ref().err().map(ToString::to_string);
        let (days, months) = both.unwrap_or_default();
        let has = |mark| days.iter().chain(&months).any(|row| row.marks.has(mark));
        Use {
            unreadable,
            has_gap: has(Marks::GAP),
            has_reset: has(Marks::RESET),
            zone: seen.setup.voice.zone_name().to_owned(),
            charts: (!months.is_empty()).then(|| {
                let chart = |by: By, rows: &[UsageRow]| Chart::new(by, by.first_kept(today), rows, words);
                [chart(By::Day, &days), chart(By::Month, &months)]
            }),
        }
    }
}

impl Chart {
    fn new(by: By, first: i32, rows: &[UsageRow], words: impl Fn(u64) -> String) -> Self {
        let most = rows.iter().map(|row| row.used).max().unwrap_or_default();
        let sum = rows.iter().map(|row| row.used).fold(0, u64::saturating_add);
        let kept = usize::try_from(by.kept()).unwrap_or(1);
        let known: HashMap<_, _> = rows.iter().map(|row| (row.place.period, row)).collect();
        let step = WIDTH / kept;
        let bars = (0..kept).zip(first..).filter_map(|(at, period)| {
            let row = known.get(&period)?;
            let share = u128::from(row.used) * u128::from(HEIGHT) / u128::from(most.max(1));
            // The smallest use is seen too.
            let height = u64::try_from(share).unwrap_or(HEIGHT).max(1);
            let note = note(row.marks);
            let title = format!(
                "{}: {}{}{note}",
                by.name(period),
                words(row.used),
                if note.is_empty() { "" } else { ", " }
            );
            let is_marked = !row.marks.is_empty();
            Some(Bar {
                x: at * step + 1,
                width: step.saturating_sub(2),
                y: HEIGHT - height,
                height,
                is_marked,
                title,
            })
        });
        Chart {
            by: by.label(),
            bars: bars.collect(),
            first: by.name(first),
            last: by.name(first.saturating_add(by.kept() - 1)),
            sum: words(sum),
            most: words(most),
            rows: rows
                .iter()
                .rev()
                .map(|row| Row {
                    period: by.name(row.place.period),
                    used: words(row.used),
                    note: note(row.marks),
                })
                .collect(),
        }
    }
}

fn note(marks: Marks) -> String {
    let notes = [(Marks::GAP, "gap"), (Marks::RESET, "reset")].into_iter();
    notes.filter_map(|(mark, word)| marks.has(mark).then_some(word)).collect::<Vec<_>>().join(" and ")
}
