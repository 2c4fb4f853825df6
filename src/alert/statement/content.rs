use super::time::Statement;
use crate::{
    model::{Day, Marks, Month, Report, Timestamp},
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
    /// Absent: all users of the target.
    admin: Option<String>,
    /// The panel has the admin.
    is_admin_there: bool,
    /// The first moment after the month.
    end: Option<Timestamp>,
    now: Now,
}

/// What is known of the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Absent: they were never read to the end.
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
    /// When users were last read, if that was before the end of the month.
    pub unread_since: Option<Timestamp>,
    /// Those who used something, the most first. Of an admin: the users that the admin has, or had when they were last seen.
    pub users: Vec<UsageSum>,
    /// By how much `total` is more than they used: users who have another admin now did.
    pub by_others: u64,
    /// By how much `total` is less than they used: they did while they had another admin.
    pub elsewhere: u64,
    /// Neither the panel nor the history has the admin.
    pub is_admin_unknown: bool,
    pub now: Now,
}

impl AskStatement {
    pub fn of(statement: &Statement, month: Month, report: &Report) -> Self {
        let list = report.users.list();
        let admin = statement.admin.as_deref();
        let count = match admin {
            None => list.len(),
            Some(_) => list.iter().filter(|user| user.owner.as_deref() == admin).count(),
        };
        let known = admin.and_then(|admin| report.admins.iter().find(|known| known.name == *admin));
        let used_of_limit = known.and_then(|admin| admin.used.zip(admin.limit));
        AskStatement {
            name: statement.name.clone(),
            month,
            target: report.id(),
            admin: statement.admin.clone(),
            is_admin_there: known.is_some() || count > 0,
            end: statement.end_of(month),
            now: Now { users: report.users.walked_since().map(|_| count), used_of_limit },
        }
    }

    /// Absent: nothing is known of that month. This call blocks.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn read(&self, usage: &Usage) -> Result<Option<Used>, UsageError> {
        let Some(of_target) = self.sum(usage, SubjectKind::Target, "")? else { return Ok(None) };
        let (target, admin) = (self.target.as_str(), self.admin.as_deref());
        let (total, marks) = match admin {
            None => of_target,
            Some(admin) => self.sum(usage, SubjectKind::Admin, admin)?.unwrap_or_default(),
        };
        let month = self.month.number();
        let of = (target, SubjectKind::User);
        let users = usage.sums(of, admin, By::Month, month..=month, usize::MAX, |_| true)?;
        let by_users = users.iter().fold(0_u64, |sum, user| sum.saturating_add(user.used));
        let is_admin_unknown = match admin.filter(|_| !self.is_admin_there) {
            None => false,
            Some(admin) => usage.find_name((target, SubjectKind::Admin), |known| known == admin)?.is_none(),
        };
        Ok(Some(Used {
            total,
            marks,
            since: usage.began(target)?.filter(|began| *began > self.month.first_day()),
            unread_since: usage.users_read(target)?.filter(|read| self.end.is_some_and(|end| *read < end)),
            by_others: admin.map_or(0, |_| total.saturating_sub(by_users)),
            elsewhere: admin.map_or(0, |_| by_users.saturating_sub(total)),
            users,
            is_admin_unknown,
            now: self.now,
        }))
    }

    fn sum(&self, usage: &Usage, kind: SubjectKind, name: &str) -> Result<Option<(u64, Marks)>, UsageError> {
        let month = self.month.number();
        let found = usage.rows(&UsageQuery {
            target: self.target.clone(),
            kind,
            name: Some(name.to_owned()),
            by: By::Month,
            periods: month..=month,
            after: None,
            limit: 1,
        })?;
        Ok(found.first().map(|row| (row.used, row.marks)))
    }
}
