//! What a mutation cost, and whether it may.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::mutations::{Cost, Mutation, OfRows};
use crate::common::exposition::Sample;

/// The most series that one field of an answer without rows may cost when it is missing.
const FIELD: usize = 6;
/// The most families of which a row may lack its series when one of its fields is missing, unless that identifies it.
/// The status of a node costs two, and one of the directions of a client costs its own traffic, the sum, and what counts
/// against the quota.
const ROW_FIELD: usize = 3;

/// Families that count or sum rows, each with the label of these rows. A row changes their values.
const TOTALS: [(&str, &str); 8] = [
    ("proxymeter_inbound_users", "user"),
    ("proxymeter_users", "user"),
    ("proxymeter_users_by_admin", "user"),
    ("proxymeter_users_online", "user"),
    ("proxymeter_users_seen", "user"),
    ("proxymeter_users_expiring", "user"),
    ("proxymeter_users_near_quota", "user"),
    ("proxymeter_users_inactive", "user"),
];
/// Families whose field has a meaning where it is missing. So it costs more when it cannot be read than when it is missing.
const PRESUMED: [&str; 1] = ["proxymeter_user_renews"];
/// Families that count the rows themselves, whatever is in them.
const COUNTED: [&str; 4] = [
    "proxymeter_target_users_counted",
    "proxymeter_target_users_omitted",
    "proxymeter_target_users_unreadable",
    "proxymeter_target_rows_omitted",
];
/// Families whose values differ from poll to poll.
const CLOCKS: [&str; 2] =
    ["proxymeter_target_part_poll_duration_seconds", "proxymeter_target_part_last_success_timestamp_seconds"];
/// Families that count as lost when they become 0.
const UP: &str = "proxymeter_up";
const PART_UP: &str = "proxymeter_target_part_up";

/// The series of a system without mutations.
pub(super) struct Baseline {
    samples: Vec<Sample>,
    /// The labels that name rows.
    rows: Vec<&'static str>,
}

/// Positions of series in the baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    pub(super) lost: BTreeSet<usize>,
    pub(super) changed: BTreeSet<usize>,
}

impl Loss {
    pub(super) fn is_none(&self) -> bool {
        self.lost.is_empty() && self.changed.is_empty()
    }
}

/// What the parts of a mutation cost alone.
#[derive(Default)]
pub(super) struct Known {
    /// By answer: its failure.
    pub(super) failures: HashMap<usize, BTreeSet<usize>>,
    /// By answer and field: its removal.
    pub(super) removals: HashMap<(usize, String), BTreeSet<usize>>,
    /// By [`Mutation::key`].
    pub(super) alone: HashMap<(usize, String, String), BTreeSet<usize>>,
}

impl Baseline {
    pub(super) fn new(samples: Vec<Sample>, rows: Vec<&'static str>) -> Baseline {
        Baseline { samples, rows }
    }

    /// Whether every part is up.
    pub(super) fn is_well(&self) -> bool {
        let states = self.samples.iter().filter(|sample| [UP, PART_UP].contains(&sample.name.as_str()));
        states.clone().count() > 1 && states.map(|sample| sample.value).all(|value| value == 1.0)
    }

    pub(super) fn series(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn counters(&self) -> usize {
        self.samples.iter().filter(|sample| sample.name.ends_with("_total")).count()
    }

    pub(super) fn compare(&self, mutated: &[Sample]) -> Loss {
        let unmutated: HashSet<_> =
            self.samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
        let mut found = HashMap::new();
        let mut new = Vec::new();
        for sample in mutated {
            found.insert((&sample.name, &sample.labels), sample.value);
            if !unmutated.contains(&(&sample.name, &sample.labels)) {
                new.push(sample);
            }
        }
        let mut loss = Loss::default();
        for (at, sample) in self.samples.iter().enumerate() {
            let name = sample.name.as_str();
            match found.get(&(&sample.name, &sample.labels)) {
                None if new.iter().any(|new| is_said_otherwise(sample, new)) => drop(loss.changed.insert(at)),
                None => drop(loss.lost.insert(at)),
                Some(value) if value.to_bits() == sample.value.to_bits() || CLOCKS.contains(&name) => {}
                Some(_) if [UP, PART_UP].contains(&name) => drop(loss.lost.insert(at)),
                Some(_) => drop(loss.changed.insert(at)),
            }
        }
        loss
    }

    /// What these mutations together must not have cost.
    pub(super) fn wrongly_lost(&self, mutant: &[Mutation], loss: &Loss, known: &Known) -> Vec<String> {
        let lost =
            loss.lost.iter().filter(|at| !mutant.iter().any(|one| self.may_lose(mutant, one, **at, known)));
        let changed = loss.changed.iter().filter(|at| !mutant.iter().any(|one| self.may_change(one, **at)));
        let mut wrong: Vec<_> = lost.map(|at| format!("{} lost", words(&self.samples[*at]))).collect();
        wrong.extend(changed.map(|at| format!("{} changed", words(&self.samples[*at]))));
        let (series, families) = (loss.lost.len(), self.families(loss));
        let is_much = match mutant {
            [Mutation { cost: Cost::Few(None), .. }] => series > FIELD,
            [Mutation { cost: Cost::Few(Some(_)) | Cost::Field(_, Some(_)), .. }] => families > ROW_FIELD,
            _ => false,
        };
        if is_much {
            wrong.push(format!("{series} series of {families} families by one field"));
        }
        wrong
    }

    /// Of how many families series were lost.
    pub(super) fn families(&self, loss: &Loss) -> usize {
        loss.lost.iter().map(|at| &self.samples[*at].name).collect::<BTreeSet<_>>().len()
    }

    /// Whether this one of the mutations may lose a series.
    fn may_lose(&self, mutant: &[Mutation], mutation: &Mutation, at: usize, known: &Known) -> bool {
        let sample = &self.samples[at];
        match &mutation.cost {
            Cost::Anything => true,
            Cost::Nothing => false,
            Cost::Rows(rows) => rows.have(sample),
            // Together with others, it loses what it loses alone.
            Cost::Few(_) if mutant.len() > 1 => has(known.alone.get(&mutation.key()), at),
            Cost::Few(Some(row)) => row.have(sample),
            Cost::Few(None) => sample.name != UP && !self.names_row(sample),
            Cost::Field(_, Some(row)) if PRESUMED.contains(&&*sample.name) => row.have(sample),
            Cost::Field(field, _) => has(known.removals.get(&(mutation.polled, field.clone())), at),
            Cost::Answer => has(known.failures.get(&mutation.polled), at),
            Cost::Failure { own, others } => {
                let names_row_of = |label: &&str| sample.label(label).is_some_and(|value| !value.is_empty());
                let is_own = |label: &&str| names_row_of(label) || TOTALS.contains(&(&*sample.name, *label));
                sample.name != UP && (own.iter().any(is_own) || !others.iter().any(names_row_of))
            }
        }
    }

    fn may_change(&self, mutation: &Mutation, at: usize) -> bool {
        let sample = &self.samples[at];
        let is_total =
            |rows: &OfRows| rows.0.iter().any(|(label, _)| TOTALS.contains(&(sample.name.as_str(), *label)));
        match &mutation.cost {
            Cost::Nothing => false,
            Cost::Rows(rows) => rows.have(sample) || is_total(rows) || COUNTED.contains(&&*sample.name),
            Cost::Few(Some(row)) | Cost::Field(_, Some(row)) => row.have(sample) || is_total(row),
            // What else a field of an object changes is its own value.
            Cost::Few(None) | Cost::Field(_, None) => !self.names_row(sample),
            Cost::Anything | Cost::Answer | Cost::Failure { .. } => true,
        }
    }

    fn names_row(&self, sample: &Sample) -> bool {
        self.rows.iter().any(|label| sample.label(label).is_some_and(|value| !value.is_empty()))
    }
}

impl OfRows {
    /// Whether this series is one of theirs. A node whose name another one has too is labelled with its number.
    pub(super) fn have(&self, sample: &Sample) -> bool {
        self.0.iter().any(|(label, name)| {
            let rest = sample.label(label).and_then(|value| value.strip_prefix(name.as_str()));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
        })
    }
}

/// Whether facts that are labels have other values in the other series. What names a row is the second label.
fn is_said_otherwise(sample: &Sample, other: &Sample) -> bool {
    let differing = sample.labels.iter().zip(&other.labels).filter(|(one, other)| one != other).count();
    let is_of_row = sample.labels.get(1) == other.labels.get(1);
    sample.name.ends_with("_info") && other.name == sample.name && (is_of_row || differing == 1)
}

fn has(series: Option<&BTreeSet<usize>>, at: usize) -> bool {
    series.is_some_and(|series| series.contains(&at))
}

/// A series, for messages.
pub(super) fn words(sample: &Sample) -> String {
    format!("{}{:?}", sample.name, sample.labels)
}
