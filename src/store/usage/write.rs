//! Writes what was read of a target, in one transaction: the totals, and what was used by day and month.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    hash::BuildHasher,
    sync::Arc,
};

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};
use tracing::warn;

use super::{
    open::{OpenDay, Taken},
    rows::{PeriodMarks, Row, Stored, Used},
    schema::{self, MOST_SUBJECTS, ids_of},
    subject::{By, Counted, SubjectKind},
};
use crate::{
    model::{Day, Marks, Month, Timestamp},
    store::fault::Fault,
};

/// The most that is added at once, and to what: sums stay whole numbers, whatever a panel says.
const LARGEST: u64 = (1 << 62) - 1;

/// Writes what was read of a target. All of it is in the file afterwards, or nothing.
pub(super) fn write(connection: &mut Connection, taken: &Taken) -> Result<(), Fault> {
    let transaction = connection.transaction()?;
    let mut target = Target::of(&transaction, &taken.target)?;
    for counted in Counted::ALL {
        if let Some(read) = taken.read.of(counted) {
            let sql = "INSERT OR REPLACE INTO reads VALUES (?, ?, ?)";
            transaction.execute(sql, params![target.id, counted.kind().number(), read.as_millis()])?;
        }
    }
    for day in &taken.days {
        let changes = target.changes(&transaction, day)?;
        put(&transaction, day.day, &changes)?;
    }
    transaction
        .execute("UPDATE targets SET subjects = ? WHERE id = ?", params![target.subjects, target.id])?;
    transaction.commit()?;
    Ok(())
}

/// What changes of one subject.
#[derive(Debug, Default)]
struct Change {
    subject: i64,
    /// Absent: as it is in the file, or the subject is a sum of others.
    total: Option<Stored>,
    /// The admin of a user; absent: none, or as it is in the file.
    owner: Option<i64>,
    used: u64,
    marks: PeriodMarks,
    /// Earlier days, with the marks that they get too.
    earlier: BTreeMap<Day, Marks>,
}

impl Change {
    fn add(&mut self, more: &Change) {
        self.used = self.used.saturating_add(more.used);
        self.marks = self.marks.with(more.marks);
        more.earlier.iter().for_each(|(day, marks)| self.mark(*day, *marks));
    }

    fn mark(&mut self, day: Day, marks: Marks) {
        *self.earlier.entry(day).or_default() |= marks;
    }

    fn moved(&self) -> bool {
        self.used > 0 || !self.marks.is_empty()
    }
}

/// A target in the file.
struct Target {
    id: i64,
    /// How many subjects it ever had.
    subjects: i64,
}

impl Target {
    fn of(transaction: &Transaction<'_>, name: &str) -> Result<Self, Fault> {
        let insert = "INSERT OR IGNORE INTO targets (name, subjects) VALUES (?, 0)";
        transaction.execute(insert, [name])?;
        let select = "SELECT id, subjects FROM targets WHERE name = ?";
        let target = |row: &rusqlite::Row<'_>| Ok(Target { id: row.get(0)?, subjects: row.get(1)? });
        Ok(transaction.query_row(select, [name], target)?)
    }

    /// What a day changes, sorted by subject. New subjects are created.
    fn changes(&mut self, transaction: &Transaction<'_>, day: &OpenDay) -> Result<Vec<Change>, Fault> {
        let mut find = transaction.prepare_cached(
            "SELECT s.id, s.owner, t.total, t.held FROM subjects s LEFT JOIN totals t ON t.subject = s.id
             WHERE s.target = ? AND s.kind = ? AND s.name = ?",
        )?;
        let mut sum = Change { subject: ids_of(self.id).0, ..Change::default() };
        // Absent: there are too many subjects.
        let mut admins = BTreeMap::<&Arc<str>, Option<Change>>::new();
        let mut changes = Vec::new();
        for counted in Counted::ALL {
            let mut new = Vec::new();
            for row in day.rows.of(counted).iter() {
                let found = found(&mut find, self.id, counted.kind(), &row.name)?;
                let stored = found.and_then(|found| found.total);
                let Used { used, marks, earlier, is_back } = row.used(stored, day.day);
                let total = row.stored(stored).filter(|total| stored != Some(*total));
                let mut change = Change {
                    total,
                    used,
                    marks,
                    earlier: earlier.into_iter().collect(),
                    ..Change::default()
                };
                if let Some(found) = found.filter(|_| is_back) {
                    let since = last_moved(transaction, found.subject, day.day)?;
                    change.marks = marks.with(PeriodMarks::since(since, day.day));
                    let earlier = since.filter(|since| *since != day.day);
                    earlier.into_iter().for_each(|since| change.mark(since, Marks::GAP));
                }
                if counted.is_in_sum() {
                    sum.add(&change);
                }
                if let Some(name) = &row.owner {
                    let admin = match admins.entry(name) {
                        Entry::Occupied(known) => known.into_mut(),
                        Entry::Vacant(vacant) => {
                            let subject = self.admin(transaction, &mut find, name, day.day)?;
                            vacant.insert(subject.map(|subject| Change { subject, ..Change::default() }))
                        }
                    };
                    change.owner = admin.as_ref().map(|admin| admin.subject);
                    admin.iter_mut().for_each(|admin| admin.add(&change));
                }
                match found {
                    Some(Found { subject, owner: before, .. }) => {
                        let owner = change.owner.filter(|_| change.owner != before);
                        changes.push(Change { subject, owner, ..change });
                    }
                    None => new.push((row, change)),
                }
            }
            // In an order that says nothing about the names: rows are shown in the order of their ids.
            new.sort_by_key(|(row, _)| scattered(row));
            for (row, change) in new {
                let subject = self.create(transaction, counted.kind(), &row.name, day.day)?;
                changes.extend(subject.map(|subject| Change { subject, ..change }));
            }
        }
        changes.extend(admins.into_values().flatten());
        changes.push(sum);
        changes.sort_unstable_by_key(|change| change.subject);
        Ok(changes)
    }

    /// The id of an admin; absent: there are too many subjects.
    fn admin(
        &mut self,
        transaction: &Transaction<'_>,
        find: &mut CachedStatement<'_>,
        name: &str,
        day: Day,
    ) -> Result<Option<i64>, Fault> {
        match found(find, self.id, SubjectKind::Admin, name)? {
            Some(found) => Ok(Some(found.subject)),
            None => self.create(transaction, SubjectKind::Admin, name, day),
        }
    }

    /// The id of a new subject; absent: there are too many.
    fn create(
        &mut self,
        transaction: &Transaction<'_>,
        kind: SubjectKind,
        name: &str,
        day: Day,
    ) -> Result<Option<i64>, Fault> {
        if self.subjects >= MOST_SUBJECTS {
            return Ok(None);
        }
        self.subjects += 1;
        if self.subjects == MOST_SUBJECTS {
            warn!("a target has had {MOST_SUBJECTS} users; the use of further ones is not kept");
        }
        let subject = ids_of(self.id).0 + self.subjects;
        let sql = "INSERT INTO subjects (id, target, kind, name, born) VALUES (?, ?, ?, ?, ?)";
        let mut insert = transaction.prepare_cached(sql)?;
        insert.execute(params![subject, self.id, kind.number(), name, day.number()])?;
        Ok(Some(subject))
    }
}

/// What the file has of a subject.
#[derive(Clone, Copy)]
struct Found {
    subject: i64,
    owner: Option<i64>,
    total: Option<Stored>,
}

fn found(
    find: &mut CachedStatement<'_>,
    target: i64,
    kind: SubjectKind,
    name: &str,
) -> Result<Option<Found>, Fault> {
    let row = find.query_row(params![target, kind.number(), name], |row| {
        let total = row.get::<_, Option<i64>>(2)?.zip(row.get(3)?);
        let total = total.map(|(total, is_held)| Stored { total: total.cast_unsigned(), is_held });
        Ok(Found { subject: row.get(0)?, owner: row.get(1)?, total })
    });
    Ok(row.optional()?)
}

/// The last day up to this one on which a subject moved; if that day is not kept any more, the last one of its month.
fn last_moved(transaction: &Transaction<'_>, subject: i64, day: Day) -> Result<Option<Day>, Fault> {
    // Rows are found by period: few steps lead to most, and one query about all periods would read the table.
    for by in [By::Day, By::Month] {
        let table = by.table();
        let mut before =
            transaction.prepare_cached(&format!("SELECT max(period) FROM {table} WHERE period <= ?"))?;
        let sql = format!("SELECT 1 FROM {table} WHERE period = ? AND subject = ?");
        let mut find = transaction.prepare_cached(&sql)?;
        let mut period = by.of(day);
        while let Some(last) = before.query_row([period], |row| row.get::<_, Option<i32>>(0))? {
            if find.exists(params![last, subject])? {
                return Ok(Some(match by {
                    By::Day => Day::of_number(last),
                    By::Month => Month::of_number(last).plus(1).first_day().plus(-1),
                }));
            }
            period = last - 1;
        }
    }
    Ok(None)
}

fn scattered(row: &Row) -> u64 {
    foldhash::fast::FixedState::default().hash_one(&*row.name)
}

/// Writes changes, which are sorted by subject, table by table: each table is written from its start to its end.
fn put(transaction: &Transaction<'_>, day: Day, changes: &[Change]) -> Result<(), Fault> {
    let mut give = transaction.prepare_cached("UPDATE subjects SET owner = ? WHERE id = ?")?;
    for Change { subject, owner, .. } in changes.iter().filter(|change| change.owner.is_some()) {
        give.execute(params![owner, subject])?;
    }
    let mut put = transaction.prepare_cached("INSERT OR REPLACE INTO totals VALUES (?, ?, ?)")?;
    for Change { subject, total, .. } in changes {
        if let Some(Stored { total, is_held }) = total {
            put.execute(params![subject, total.cast_signed(), is_held])?;
        }
    }
    for by in [By::Day, By::Month] {
        let sql = format!(
            "INSERT INTO {} VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO UPDATE SET
             used = min(used, {LARGEST}) + excluded.used, marks = marks | excluded.marks",
            by.table()
        );
        let (mut add, period) = (transaction.prepare_cached(&sql)?, by.of(day));
        for Change { subject, used, marks, .. } in changes.iter().filter(|change| change.moved()) {
            let marks = if by == By::Day { marks.day } else { marks.month };
            add.execute(params![period, subject, (*used).min(LARGEST).cast_signed(), marks.bits()])?;
        }
        let sql = format!("UPDATE {} SET marks = marks | ? WHERE period = ? AND subject = ?", by.table());
        let mut mark = transaction.prepare_cached(&sql)?;
        for Change { subject, earlier, .. } in changes {
            for (day, marks) in earlier.iter().filter(|(day, _)| by.of(**day) != period) {
                mark.execute(params![marks.bits(), by.of(*day), subject])?;
            }
        }
    }
    Ok(())
}

/// What is to be done once a day.
pub(super) fn begin_day(
    connection: &mut Connection,
    (before, today): (Option<Day>, Day),
    now: Timestamp,
) -> Result<(), Fault> {
    let transaction = connection.transaction()?;
    schema::prune(&transaction, today, now)?;
    if before.is_none_or(|before| before.month() != today.month()) {
        schema::forget_subjects(&transaction, today)?;
    }
    transaction.commit()?;
    Ok(())
}
