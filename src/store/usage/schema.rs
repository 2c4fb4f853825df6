//! The tables of the file.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::subject::{By, Counted, SubjectKind};
use crate::{
    model::{Day, Month, Timestamp},
    store::fault::Fault,
};

/// The version of the tables.
const VERSION: i64 = 2;

/// A subject's id has its target's id above this many bits, so that the rows of a target and day are beside each other.
/// The id without such bits is that of the target's own sum.
const NUMBER_BITS: u32 = 24;

/// The most subjects of a target, ever: names without an end must not fill the disk.
pub(super) const MOST_SUBJECTS: i64 = 4_000_000;

/// How long what is kept of a target stays after it left the configuration, in milliseconds: 30 days, as for users.
const KEPT_AFTER_LEAVING_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// The days and months are keyed by period first, so that a write touches few pages, and so does what one of them is
/// asked for. `marks` are the bits of [`Marks`](crate::model::Marks). `born` is the day on which a subject was first seen, and
/// `owner` the admin that had the user when its total was last read, a subject too; absent: none, or not known.
/// A total is `held` if the panel said less afterwards, and that was not believed yet.
const TABLES: &str = "
    CREATE TABLE targets (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        subjects INTEGER NOT NULL,
        left_at INTEGER
    ) STRICT;
    CREATE TABLE reads (target INTEGER NOT NULL, kind INTEGER NOT NULL, read_at INTEGER NOT NULL,
        PRIMARY KEY (target, kind)) STRICT, WITHOUT ROWID;
    CREATE TABLE subjects (
        id INTEGER PRIMARY KEY,
        target INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        name TEXT NOT NULL,
        born INTEGER NOT NULL,
        owner INTEGER,
        UNIQUE (target, kind, name)
    ) STRICT;
    CREATE TABLE totals (
        subject INTEGER PRIMARY KEY,
        total INTEGER NOT NULL,
        held INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE days (period INTEGER NOT NULL, subject INTEGER NOT NULL, used INTEGER NOT NULL, marks INTEGER NOT NULL,
        PRIMARY KEY (period, subject)) STRICT, WITHOUT ROWID;
    CREATE TABLE months (period INTEGER NOT NULL, subject INTEGER NOT NULL, used INTEGER NOT NULL, marks INTEGER NOT NULL,
        PRIMARY KEY (period, subject)) STRICT, WITHOUT ROWID;
";

/// Makes a file of version 1 one of version 2.
const SECOND: &str = "ALTER TABLE subjects ADD COLUMN owner INTEGER";

/// Creates the tables of a new file, and upgrades or checks those of an old one.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match version {
        0 if tables == 0 => become_current(connection, TABLES),
        1 => become_current(connection, SECOND),
        VERSION => Ok(()),
        version if version > VERSION => {
            Err(Fault::Newer { version, known: usize::try_from(VERSION).unwrap_or_default() })
        }
        version => Err(Fault::Damaged(format!("its version is {version}"))),
    }
}

fn become_current(connection: &mut Connection, by: &str) -> Result<(), Fault> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(by)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// The first id of a target's subjects, which is that of its own sum, and the first id behind them.
pub(super) fn ids_of(target: i64) -> (i64, i64) {
    (target << NUMBER_BITS, (target + 1) << NUMBER_BITS)
}

/// The id of a target, by [`Report::id`](crate::model::Report::id).
pub(super) fn target(connection: &Connection, name: &str) -> Result<Option<i64>, Fault> {
    let mut find = connection.prepare_cached("SELECT id FROM targets WHERE name = ?")?;
    Ok(find.query_row([name], |row| row.get(0)).optional()?)
}

/// When each sort of each target was last read.
pub(super) fn reads(connection: &Connection) -> Result<Vec<(String, Counted, Timestamp)>, Fault> {
    let sql = "SELECT t.name, r.kind, r.read_at FROM reads r JOIN targets t ON t.id = r.target";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut reads = Vec::new();
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(1)?;
        let counted = Counted::ALL.into_iter().find(|counted| counted.kind().number() == kind);
        if let Some(counted) = counted {
            reads.push((row.get(0)?, counted, Timestamp::from_millis(row.get(2)?)));
        }
    }
    Ok(reads)
}

/// Notes which targets are configured and when the others left, and deletes what is kept of those that left long ago.
pub(super) fn keep_only(transaction: &Transaction<'_>, kept: &[String], now: Timestamp) -> Result<(), Fault> {
    let mut select = transaction.prepare("SELECT id, name, left_at FROM targets")?;
    let targets = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let targets = targets.collect::<Result<Vec<(i64, String, Option<i64>)>, _>>()?;
    for (id, name, left_at) in targets {
        let left_at = match left_at {
            _ if kept.contains(&name) => None,
            None => Some(now.as_millis()),
            Some(left_at) => Some(left_at),
        };
        transaction.execute("UPDATE targets SET left_at = ? WHERE id = ?", params![left_at, id])?;
    }
    forget_left(transaction, now)
}

/// Deletes what is kept of targets that left the configuration long ago.
fn forget_left(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Fault> {
    let until = now.as_millis().saturating_sub(KEPT_AFTER_LEAVING_MS);
    let mut select = transaction.prepare("SELECT id FROM targets WHERE left_at <= ?")?;
    let gone = select.query_map([until], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for target in gone {
        let (from, until) = ids_of(target);
        for (table, column) in
            [("days", "subject"), ("months", "subject"), ("totals", "subject"), ("subjects", "id")]
        {
            let sql = format!("DELETE FROM {table} WHERE {column} >= ? AND {column} < ?");
            transaction.execute(&sql, [from, until])?;
        }
        transaction.execute("DELETE FROM reads WHERE target = ?", [target])?;
        transaction.execute("DELETE FROM targets WHERE id = ?", [target])?;
    }
    Ok(())
}

/// Deletes what is older than it is kept, as of `today`, but never one of the newest periods that the file has, as many as are
/// kept: a clock that is far ahead deletes one day for each day that it adds, and not the history.
pub(super) fn prune(transaction: &Transaction<'_>, today: Day, now: Timestamp) -> Result<(), Fault> {
    forget_left(transaction, now)?;
    for by in [By::Day, By::Month] {
        if let Some(newest) = first_of_newest(transaction, by)? {
            let sql = format!("DELETE FROM {} WHERE period < ?", by.table());
            transaction.execute(&sql, [newest.min(by.first_kept(today))])?;
        }
    }
    Ok(())
}

/// The first of the newest periods that have rows, as many as are kept; absent: there are not so many.
fn first_of_newest(transaction: &Transaction<'_>, by: By) -> Result<Option<i32>, Fault> {
    let sql = format!("SELECT max(period) FROM {} WHERE period < ?", by.table());
    let mut before = transaction.prepare(&sql)?;
    let mut first = i32::MAX;
    for _ in 0..by.kept() {
        match before.query_row([first], |row| row.get(0))? {
            Some(period) => first = period,
            None => return Ok(None),
        }
    }
    Ok(Some(first))
}

/// Deletes subjects of which nothing is kept any more, at the begin of a month.
pub(super) fn forget_subjects(transaction: &Transaction<'_>, today: Day) -> Result<(), Fault> {
    let oldest = Month::of_number(By::Month.first_kept(today)).first_day().number();
    let sql = "DELETE FROM subjects WHERE born < ? AND id NOT IN (SELECT subject FROM months)";
    if transaction.execute(sql, [oldest])? > 0 {
        transaction.execute("DELETE FROM totals WHERE subject NOT IN (SELECT id FROM subjects)", [])?;
    }
    Ok(())
}

/// Finds a subject: its id.
pub(super) const FIND: &str = "SELECT id FROM subjects WHERE target = ? AND kind = ? AND name = ?";

/// The id of a subject, if it was ever seen.
pub(super) fn subject(
    connection: &Connection,
    target: i64,
    kind: SubjectKind,
    name: &str,
) -> Result<Option<i64>, Fault> {
    if kind == SubjectKind::Target {
        return Ok(Some(ids_of(target).0));
    }
    let mut find = connection.prepare_cached(FIND)?;
    Ok(find.query_row(params![target, kind.number(), name], |row| row.get(0)).optional()?)
}
