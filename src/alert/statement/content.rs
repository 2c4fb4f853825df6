use std::{collections::HashSet, sync::Arc};

use super::time::Statement;
use crate::{
    model::{Day, Marks, Month, Report},
    store::{By, SubjectKind, Usage, UsageError, UsageQuery, UsageSum},
};

/// What a statement asks the history of use.
#[derive(Clone, Debug)]
pub struct AskStatement {
    /// Of `[statement.NAME]`.
    pub name: String,
    pub month: Month,
    /// By [`Report::id`].
    target: String,
    of: Of,
    now: Now,
}

#[derive(Clone, Debug)]
enum Of {
    Target,
    /// An admin, and the users that the admin has at present: the history does not say whose a user was.
    Admin(String, HashSet<Arc<str>>),
}

/// What is known of the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Absent: they were never read.
    pub users: Option<usize>,
    /// What the admin's users have used as the panel counts it, and the admin's limit, both in bytes.
    pub used_of_limit: Option<(u64, u64)>,
}

/// What was used in a month.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Bytes, of all of them together.
    pub total: u64,
    pub marks: Marks,
    /// The first day that is known; absent: the whole month is.
    pub since: Option<Day>,
    /// Those who used something, the most first.
    pub users: Vec<UsageSum>,
    /// What is in `total` and was used by none of them: they do not exist any more, or have another admin.
    pub by_others: u64,
    pub now: Now,
}

impl AskStatement {
    pub fn of(statement: &Statement, month: Month, report: &Report) -> Self {
        let list = report.users.list();
        let is_known = report.users.walked_since().is_some() || !list.is_empty();
        let (of, count, used_of_limit) = match &statement.admin {
            None => (Of::Target, list.len(), None),
            Some(admin) => {
                let is_theirs = |owner: &Option<Arc<str>>| owner.as_deref() == Some(admin.as_str());
                let users = list.iter().filter(|user| is_theirs(&user.owner));
                let users: HashSet<_> = users.map(|user| Arc::clone(&user.name)).collect();
                let known = report.admins.iter().find(|known| known.name == *admin);
                let used_of_limit = known.and_then(|admin| admin.used.zip(admin.limit));
                let count = users.len();
                (Of::Admin(admin.clone(), users), count, used_of_limit)
            }
        };
        let now = Now { users: is_known.then_some(count), used_of_limit };
        AskStatement { name: statement.name.clone(), month, target: report.id(), of, now }
    }

    /// Absent: nothing is known of that month. This call blocks.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn read(&self, usage: &Usage) -> Result<Option<Used>, UsageError> {
        let Some(of_target) = self.sum(usage, SubjectKind::Target, "")? else { return Ok(None) };
        let (total, marks) = match &self.of {
            Of::Target => of_target,
            Of::Admin(admin, _) => self.sum(usage, SubjectKind::Admin, admin)?.unwrap_or_default(),
        };
        let is_one = |user: &str| match &self.of {
            Of::Target => true,
            Of::Admin(_, users) => users.contains(user),
        };
        let month = self.month.number();
        let of = (self.target.as_str(), SubjectKind::User);
        let users = usage.sums(of, By::Month, month..=month, usize::MAX, is_one)?;
        let users: Vec<_> =
            users.into_iter().filter(|user| user.used > 0 || !user.marks.is_empty()).collect();
        let by_users = users.iter().fold(0_u64, |sum, user| sum.saturating_add(user.used));
        let by_others = total.saturating_sub(by_users);
        Ok(Some(Used { total, marks, since: self.since(usage)?, users, by_others, now: self.now }))
    }

    fn sum(&self, usage: &Usage, kind: SubjectKind, name: &str) -> Result<Option<(u64, Marks)>, UsageError> {
        let month = self.month.number();
        let query = self.query(kind, By::Month, month..=month);
        let found = usage.rows(&UsageQuery { name: Some(name.to_owned()), ..query })?;
        Ok(found.first().map(|row| (row.used, row.marks)))
    }

    /// The first day that is known, if the history began in this month and not with it.
    fn since(&self, usage: &Usage) -> Result<Option<Day>, UsageError> {
        let earlier = self.query(SubjectKind::Target, By::Month, i32::MIN..=self.month.number() - 1);
        if !usage.rows(&earlier)?.is_empty() {
            return Ok(None);
        }
        let (first, next) = (self.month.first_day(), self.month.plus(1).first_day());
        let days = self.query(SubjectKind::Target, By::Day, first.number()..=next.number() - 1);
        let known = usage.rows(&days)?.first().map(|row| Day::of_number(row.place.period));
        Ok(known.filter(|known| *known > first))
    }

    /// The first row.
    fn query(&self, kind: SubjectKind, by: By, periods: std::ops::RangeInclusive<i32>) -> UsageQuery {
        UsageQuery { target: self.target.clone(), kind, name: None, by, periods, after: None, limit: 1 }
    }
}
