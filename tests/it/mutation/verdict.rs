//! What a mutation cost, and whether it may.

use std::collections::{BTreeSet, HashMap};

use super::mutations::{Cost, Mutation};
use crate::common::exposition::Sample;

/// The most series that one field of an answer without rows may cost when it is missing.
const FIELD: usize = 6;

/// Families of which a row changes the value, because they count or sum rows.
const TOTALS: [&str; 10] = [
    "proxymeter_inbound_users",
    "proxymeter_users",
    "proxymeter_users_online",
    "proxymeter_users_seen",
    "proxymeter_users_expiring",
    "proxymeter_users_near_quota",
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
}

/// Positions of series in the baseline.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    pub(super) lost: BTreeSet<usize>,
    pub(super) changed: BTreeSet<usize>,
}

/// What the parts of a mutation cost alone.
#[derive(Default)]
pub(super) struct Known {
    /// By answer: its failure.
    pub(super) failures: HashMap<usize, BTreeSet<usize>>,
    /// By answer and field: its removal.
    pub(super) removals: HashMap<(usize, String), BTreeSet<usize>>,
}

impl Baseline {
    pub(super) fn new(samples: Vec<Sample>) -> Baseline {
        Baseline { samples }
    }

    /// Whether every part is up.
    pub(super) fn is_well(&self) -> bool {
        let states = self.samples.iter().filter(|sample| [UP, PART_UP].contains(&sample.name.as_str()));
        states.clone().count() > 1 && states.map(|sample| sample.value).all(|value| value == 1.0)
    }

    pub(super) fn series(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn compare(&self, mutated: &[Sample]) -> Loss {
        let mutated: HashMap<_, _> =
            mutated.iter().map(|sample| ((&sample.name, &sample.labels), sample.value)).collect();
        let mut loss = Loss::default();
        for (at, sample) in self.samples.iter().enumerate() {
            let name = sample.name.as_str();
            match mutated.get(&(&sample.name, &sample.labels)) {
                None => drop(loss.lost.insert(at)),
                Some(value) if value.to_bits() == sample.value.to_bits() || CLOCKS.contains(&name) => {}
                Some(_) if [UP, PART_UP].contains(&name) => drop(loss.lost.insert(at)),
                Some(_) => drop(loss.changed.insert(at)),
            }
        }
        loss
    }

    /// Which series these mutations together must not have cost.
    pub(super) fn wrongly_lost(&self, mutant: &[Mutation], loss: &Loss, known: &Known) -> Vec<String> {
        let rows_alone = mutant.iter().all(|one| matches!(one.cost, Cost::Nothing | Cost::Rows(..)));
        // What else a field or an answer changes is its own value.
        let concerned = loss.lost.iter().chain(loss.changed.iter().filter(|_| rows_alone));
        let mut wrong: Vec<_> = concerned
            .filter(|at| !mutant.iter().any(|one| self.may(one, **at, known)))
            .map(|at| self.samples[*at].clone())
            .map(|sample| format!("{}{:?}", sample.name, sample.labels))
            .collect();
        if let [Mutation { cost: Cost::Few, .. }] = mutant
            && loss.lost.len() > FIELD
        {
            wrong.push(format!("{} series by one field", loss.lost.len()));
        }
        wrong
    }

    fn may(&self, mutation: &Mutation, at: usize, known: &Known) -> bool {
        let sample = &self.samples[at];
        match &mutation.cost {
            Cost::Anything => true,
            Cost::Nothing => false,
            Cost::Rows(label, names) => {
                let of_row = |value: &str| {
                    // A node whose name another one has too is labelled with its number.
                    names.iter().any(|name| {
                        value == name || value.strip_prefix(name).is_some_and(|rest| rest.starts_with('#'))
                    })
                };
                TOTALS.contains(&&*sample.name) || sample.label(label).is_some_and(of_row)
            }
            Cost::Few => sample.name != UP,
            Cost::Field(field) => known.removals[&(mutation.polled, field.clone())].contains(&at),
            Cost::Answer => known.failures[&mutation.polled].contains(&at),
            Cost::Failure { own, others } => {
                let names_row_of = |label: &&str| sample.label(label).is_some_and(|value| !value.is_empty());
                sample.name != UP && (own.iter().any(names_row_of) || !others.iter().any(names_row_of))
            }
        }
    }
}
