//! A whole answer that is not kept.

use std::{mem, ops::Range};

use prometheus::proto::MetricFamily;

use super::{
    alerts,
    family::Family,
    format::Format,
    nouns::{NOUNS, Noun, Writer},
    own,
    rows::RowFamily,
    shown::Shown,
    text::{self, Sink, Text},
    view::Naming,
};
use crate::model::Share;

/// Users per piece, about. One has some 80 bytes of each family.
const USERS: usize = 2048;

/// How an answer is written, in pieces. Each is written from what is shown and its place alone.
pub struct Plan {
    format: Format,
    namings: Vec<Naming>,
    steps: Vec<Step>,
}

enum Step {
    Noun(&'static Noun),
    /// A family, of a share of the users of some targets.
    Rows(&'static RowFamily, Range<usize>, Share),
    Alerts,
    Own,
}

/// A piece of an answer.
#[derive(Debug)]
pub struct Piece {
    pub text: Vec<u8>,
    /// The family that all of it is of, with whose head the text begins.
    family: Option<&'static Family<'static>>,
}

/// Joins pieces in their order: a family that has several gets one head.
#[derive(Debug)]
pub struct Joiner {
    format: Format,
    /// The family of the last piece that has text, and the length of its head.
    last: Option<(&'static Family<'static>, usize)>,
}

impl Plan {
    pub fn new(shown: &Shown<'_>, format: Format) -> Self {
        let shares = shares(shown.reports.iter().map(|report| report.users.list().len()));
        let mut steps = Vec::new();
        for noun in &NOUNS {
            match noun.writer {
                Writer::Whole(_) => steps.push(Step::Noun(noun)),
                Writer::Rows(families) => {
                    let rows = families.iter().flat_map(|row| {
                        shares.iter().map(move |(targets, share)| Step::Rows(row, targets.clone(), *share))
                    });
                    steps.extend(rows);
                }
            }
        }
        steps.extend([Step::Alerts, Step::Own]);
        Plan { format, namings: shown.namings(), steps }
    }

    /// The number of pieces.
    pub fn pieces(&self) -> usize {
        self.steps.len()
    }

    /// Whether the piece at a place takes less than a millisecond.
    pub fn is_fast(&self, at: usize) -> bool {
        let hashes = self.namings.first().is_some_and(Naming::hashes);
        matches!(self.steps.get(at), Some(Step::Rows(..))) && !hashes
    }

    /// Writes the piece at a place, from 0, into `buffer`, which is empty. `shown` is what the plan was made for, and `own`
    /// are the daemon's own metrics.
    pub fn write(&self, at: usize, shown: &Shown<'_>, own: &[MetricFamily], buffer: Vec<u8>) -> Piece {
        let mut written = Vec::new();
        let mut take = |text: &mut Vec<u8>| written = mem::take(text);
        let mut text = Text::into(buffer, self.format, Sink::Whole(&mut take));
        let mut family = None;
        let views = |targets: Range<usize>| {
            let reports = shown.reports.iter().zip(&self.namings).take(targets.end).skip(targets.start);
            reports.map(|(report, naming)| shown.view(report, naming)).collect::<Vec<_>>()
        };
        match self.steps.get(at) {
            Some(Step::Noun(noun)) => noun.write(&mut text, &views(0..self.namings.len())),
            Some(Step::Rows(row, targets, share)) => {
                row.write(&mut text, &views(targets.clone()), *share);
                family = Some(row.0);
            }
            Some(Step::Alerts) => alerts::write(&mut text, shown.alerts, &self.namings, shown.only),
            Some(Step::Own) => own::write(&mut text, own, shown.only),
            None => {}
        }
        if at + 1 == self.steps.len() {
            text.end();
        }
        text.finish();
        Piece { text: written, family }
    }
}

impl Piece {
    /// Text without a head that another piece could have, too.
    pub fn of(text: Vec<u8>) -> Self {
        Piece { text, family: None }
    }
}

impl Joiner {
    pub fn new(format: Format) -> Self {
        Joiner { format, last: None }
    }

    /// How many bytes at the start of the next piece are left out.
    pub fn skip(&mut self, piece: &Piece) -> usize {
        if piece.text.is_empty() {
            return 0;
        }
        match (self.last, piece.family) {
            (Some((last, head)), Some(family)) if last.name == family.name => head,
            (_, family) => {
                self.last = family.map(|family| (family, text::head(self.format, family).len()));
                0
            }
        }
    }
}

/// Splits users into about equal parts, by how many each target has: one of some targets, or a share of one target.
fn shares(users: impl Iterator<Item = usize>) -> Vec<(Range<usize>, Share)> {
    let (mut shares, mut together, mut sum) = (Vec::new(), 0..0, 0);
    for (at, users) in users.enumerate() {
        if sum + users > USERS {
            shares.extend((!together.is_empty()).then(|| (mem::take(&mut together), Share::ALL)));
            (together, sum) = (at..at, 0);
        }
        if users > USERS {
            let of = users.div_ceil(USERS);
            shares.extend((0..of).map(|number| (at..at + 1, Share { number, of })));
            together = at + 1..at + 1;
        } else {
            together.end = at + 1;
            sum += users;
        }
    }
    shares.extend((!together.is_empty()).then_some((together, Share::ALL)));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_about_equal() {
        let shares = |users: &[usize]| {
            let shares = shares(users.iter().copied()).into_iter();
            shares.map(|(targets, Share { number, of })| (targets, number, of)).collect::<Vec<_>>()
        };
        assert_eq!(shares(&[]), []);
        assert_eq!(shares(&[0, 0]), [(0..2, 0, 1)]);
        assert_eq!(shares(&[USERS, 0, 1, 2]), [(0..2, 0, 1), (2..4, 0, 1)]);
        assert_eq!(
            shares(&[5, 2 * USERS + 1, 5, USERS, USERS + 1]),
            [
                (0..1, 0, 1),
                (1..2, 0, 3),
                (1..2, 1, 3),
                (1..2, 2, 3),
                (2..3, 0, 1),
                (3..4, 0, 1),
                (4..5, 0, 2),
                (4..5, 1, 2)
            ]
        );
    }

    #[test]
    fn every_user_is_in_one_share() {
        for (length, of) in [(0, 1), (1, 3), (10, 3), (10, 10), (100, 7)] {
            let parts = (0..of).flat_map(|number| Share { number, of }.part(length));
            assert!(parts.eq(0..length), "{length} {of}");
        }
    }
}
