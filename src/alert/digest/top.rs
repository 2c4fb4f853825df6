//! The users who used the most: what a digest asks of the history of use.

use std::{collections::BTreeMap, sync::Arc};

use super::content::{Top, Used};
use crate::{
    alert::{
        rule::{Question, Rule, Rules},
        words::{Pseudonym, displayed},
    },
    model::{Day, KIND_USER, Report},
    store::{By, SubjectKind, Usage, UsageError, UsageSum},
};

/// What a digest for one receiver asks: the users of each target that its rules cover.
#[derive(Clone, Debug)]
pub struct AskTop {
    most: usize,
    targets: Vec<Target>,
}

#[derive(Clone, Debug)]
struct Target {
    name: Arc<str>,
    /// By [`Report::id`].
    id: String,
    rules: Vec<Rule>,
}

/// What was found, by target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tops {
    day: Day,
    targets: BTreeMap<Arc<str>, Vec<UsageSum>>,
}

impl AskTop {
    /// Absent: no rule about users notifies the receiver, or no users are wanted.
    pub fn of<'a>(
        reports: impl IntoIterator<Item = &'a Report>,
        rules: &Rules,
        receiver: &str,
        most: usize,
    ) -> Option<Self> {
        let targets = reports.into_iter().map(|report| {
            let asks = |question| rules.asking(question, receiver, &report.target);
            let rules = [Question::UserExpiry, Question::UserQuota].into_iter().flat_map(asks);
            Target { name: Arc::clone(&report.target), id: report.id(), rules: rules.cloned().collect() }
        });
        let targets: Vec<_> = targets.filter(|target| !target.rules.is_empty()).collect();
        (most > 0 && !targets.is_empty()).then_some(AskTop { most, targets })
    }

    /// Reads what was used on the last whole day. This call blocks.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn read(&self, usage: &Usage) -> Result<Tops, UsageError> {
        let day = usage.today().plus(-1);
        let periods = day.number()..=day.number();
        let mut targets = BTreeMap::new();
        for Target { name, id, rules } in &self.targets {
            let covers = |user: &str| rules.iter().any(|rule| rule.covers(user));
            let of = (id.as_str(), SubjectKind::User);
            let sums = usage.sums(of, None, By::Day, periods.clone(), self.most, covers)?;
            targets.insert(Arc::clone(name), sums);
        }
        Ok(Tops { day, targets })
    }
}

impl Tops {
    /// Absent: nothing is known of the target's users, or they used nothing.
    pub(super) fn of(&self, report: &Report, pseudonym: Option<&Pseudonym>) -> Option<Top> {
        let sums = self.targets.get(&report.target).filter(|sums| !sums.is_empty())?;
        let users = sums.iter().map(|sum| Used {
            user: displayed(KIND_USER, &sum.name, pseudonym).into_owned(),
            bytes: sum.used,
            marks: sum.marks,
        });
        Some(Top { day: self.day, users: users.collect() })
    }
}
