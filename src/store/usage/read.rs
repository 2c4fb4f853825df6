//! What is read of the file.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use foldhash::fast::RandomState;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    schema::{self, ids_of},
    subject::{By, SubjectKind},
};
use crate::{
    model::{Calendar, Day, DayUse, Marks, RateDays, Rates, Timestamp, UsedToday},
    store::fault::Fault,
};

/// Which use is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// By [`Report::id`](crate::model::Report::id).
    pub target: String,
    pub kind: SubjectKind,
    /// One subject of the kind; absent: all.
    pub name: Option<String>,
    pub by: By,
    /// Numbers of days or months, the last one included.
    pub periods: RangeInclusive<i32>,
    /// The last row of the page before.
    pub after: Option<UsagePlace>,
    /// The most rows.
    pub limit: usize,
}

/// The place of a row in the order of all: by period, and then in an order without a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsagePlace {
    pub period: i32,
    pub subject: i64,
}

/// What one subject used in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    pub place: UsagePlace,
    /// Empty for the sum of the target.
    pub name: String,
    /// Bytes, or tokens of a client key.
    pub used: u64,
    pub marks: Marks,
}

/// What one subject used in several periods together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageSum {
    pub name: String,
    pub used: u64,
    /// Those of any of the periods.
    pub marks: Marks,
}

/// The rows that are asked for, at most so many as the limit says.
pub(super) fn rows(connection: &Connection, query: &UsageQuery) -> Result<Vec<UsageRow>, Fault> {
    let Some(target) = schema::target(connection, &query.target)? else { return Ok(Vec::new()) };
    let name = query.name.as_deref().or((query.kind == SubjectKind::Target).then_some(""));
    let one = match name {
        None => None,
        Some(name) => match schema::subject(connection, target, query.kind, name)? {
            Some(subject) => Some((subject, name)),
            None => return Ok(Vec::new()),
        },
    };
    let mut rows = Vec::new();
    let (mut first, mut behind) = (*query.periods.start(), None);
    if let Some(UsagePlace { period, subject }) = query.after {
        first = first.max(period);
        behind = Some(subject).filter(|_| first == period);
    }
    while let Some(period) = next_period(connection, query.by, first..=*query.periods.end())? {
        let left = query.limit.saturating_sub(rows.len());
        let behind = behind.take().filter(|_| period == first);
        match one {
            Some((subject, name)) if behind.is_none_or(|behind| subject > behind) => {
                rows.extend(of_subject(connection, query.by, period, subject, name)?);
            }
            Some(_) => {}
            None => of_all(connection, query, (target, period), behind, left, &mut rows)?,
        }
        if rows.len() >= query.limit {
            rows.truncate(query.limit);
            break;
        }
        first = period.saturating_add(1);
    }
    Ok(rows)
}

/// The first of the periods that has rows.
fn next_period(connection: &Connection, by: By, of: RangeInclusive<i32>) -> Result<Option<i32>, Fault> {
    let sql =
        format!("SELECT period FROM {} WHERE period BETWEEN ? AND ? ORDER BY period LIMIT 1", by.table());
    let mut select = connection.prepare_cached(&sql)?;
    Ok(select.query_row([of.start(), of.end()], |row| row.get(0)).optional()?)
}

fn of_subject(
    connection: &Connection,
    by: By,
    period: i32,
    subject: i64,
    name: &str,
) -> Result<Option<UsageRow>, Fault> {
    let sql = format!("SELECT used, marks FROM {} WHERE period = ? AND subject = ?", by.table());
    let mut select = connection.prepare_cached(&sql)?;
    let row = select.query_row(params![period, subject], |row| {
        let place = UsagePlace { period, subject };
        Ok(UsageRow { place, name: name.to_owned(), used: used(row, 0)?, marks: Marks::of_bits(row.get(1)?) })
    });
    Ok(row.optional()?)
}

/// A sum in a row; one that another program has made negative is none.
fn used(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}

/// The rows of a period, of all subjects of a kind.
fn of_all(
    connection: &Connection,
    query: &UsageQuery,
    (target, period): (i64, i32),
    behind: Option<i64>,
    limit: usize,
    rows: &mut Vec<UsageRow>,
) -> Result<(), Fault> {
    let (sum, until) = ids_of(target);
    // CROSS: in this order.
    let sql = format!(
        "SELECT d.subject, d.used, d.marks, s.name FROM {} d CROSS JOIN subjects s ON s.id = d.subject
         WHERE d.period = ? AND d.subject > ? AND d.subject < ? AND s.kind = ? ORDER BY d.subject LIMIT ?",
        query.by.table()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = select.query_map(
        params![period, behind.unwrap_or(sum), until, query.kind.number(), limit],
        |row| {
            Ok(UsageRow {
                place: UsagePlace { period, subject: row.get(0)? },
                used: used(row, 1)?,
                marks: Marks::of_bits(row.get(2)?),
                name: row.get(3)?,
            })
        },
    )?;
    for row in found {
        rows.push(row?);
    }
    Ok(())
}

/// What each subject of a kind that `is_one` accepts used in the periods together, the most first; at most so many, and none
/// that used nothing. With an `owner`: of the users of that admin.
pub(super) fn sums(
    connection: &Connection,
    (target, kind): (&str, SubjectKind),
    owner: Option<&str>,
    by: By,
    periods: RangeInclusive<i32>,
    most: usize,
    is_one: impl Fn(&str) -> bool,
) -> Result<Vec<UsageSum>, Fault> {
    let Some(target) = schema::target(connection, target)? else { return Ok(Vec::new()) };
    let owner = match owner {
        None => None,
        Some(admin) => match schema::subject(connection, target, SubjectKind::Admin, admin)? {
            Some(admin) => Some(admin),
            None => return Ok(Vec::new()),
        },
    };
    let (sum, until) = ids_of(target);
    let sql = format!(
        "SELECT subject, used, marks FROM {} WHERE period = ? AND subject >= ? AND subject < ?",
        by.table()
    );
    let mut select = connection.prepare_cached(&sql)?;
    let mut sums = HashMap::<i64, (u64, Marks)>::new();
    let mut first = *periods.start();
    while let Some(period) = next_period(connection, by, first..=*periods.end())? {
        let mut rows = select.query(params![period, sum, until])?;
        while let Some(row) = rows.next()? {
            let (sum, marks) = sums.entry(row.get(0)?).or_default();
            *sum = sum.saturating_add(used(row, 1)?);
            *marks |= Marks::of_bits(row.get(2)?);
        }
        first = period.saturating_add(1);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|(subject, (used, _))| (Reverse(*used), *subject));
    let sql = "SELECT name FROM subjects WHERE id = ?1 AND kind = ?2 AND (?3 IS NULL OR owner = ?3)";
    let mut find = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for (subject, (used, marks)) in sums {
        if found.len() >= most || used == 0 {
            break;
        }
        let name: Option<String> = match (subject == sum, kind == SubjectKind::Target) {
            (true, true) => Some(String::new()),
            (false, false) => {
                find.query_row(params![subject, kind.number(), owner], |row| row.get(0)).optional()?
            }
            (_, _) => None,
        };
        let name = name.filter(|name| is_one(name));
        found.extend(name.map(|name| UsageSum { name, used, marks }));
    }
    Ok(found)
}

/// What the users of each target used on a day, in the `times` that it lasts.
pub(super) fn used_on(
    connection: &Connection,
    day: Day,
    times: &Range<Timestamp>,
) -> Result<BTreeMap<String, Arc<UsedToday>>, Fault> {
    let mut select = connection.prepare_cached("SELECT id, name FROM targets")?;
    let targets = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let targets = targets.collect::<Result<Vec<(i64, String)>, _>>()?;
    let mut select = connection.prepare_cached(
        "SELECT s.name, d.used FROM days d CROSS JOIN subjects s ON s.id = d.subject
         WHERE d.period = ? AND d.subject >= ? AND d.subject < ? AND s.kind = ?",
    )?;
    let mut all = BTreeMap::new();
    for (target, name) in targets {
        let (sum, until) = ids_of(target);
        let users = select
            .query_map(params![day.number(), sum, until, SubjectKind::User.number()], |row| {
                Ok((row.get::<_, String>(0)?.into(), used(row, 1)?))
            })?;
        let users = users.collect::<Result<Vec<(Arc<str>, u64)>, _>>()?;
        all.insert(name, Arc::new(UsedToday::new(times.clone(), users)));
    }
    Ok(all)
}

/// How fast the users of each configured target use their quota, by what is in the file.
pub(super) fn rates(
    connection: &Connection,
    calendar: &mut Calendar,
) -> Result<BTreeMap<String, Rates>, Fault> {
    let mut select = connection.prepare_cached(
        "SELECT t.id, t.name, r.read_at FROM targets t JOIN reads r ON r.target = t.id
         WHERE r.kind = ? AND t.left_at IS NULL",
    )?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, Timestamp::from_millis(row.get(2)?)));
    let targets = select.query_map([SubjectKind::User.number()], read)?;
    let targets = targets.collect::<Result<Vec<(i64, String, Timestamp)>, _>>()?;
    let mut all = BTreeMap::new();
    for (target, name, read_at) in targets {
        let days = RateDays::until(read_at, calendar);
        all.insert(name, rates_of(connection, target, read_at, &days)?);
    }
    Ok(all)
}

/// How fast the users of a target who used something in the days up to a reading use their quota.
fn rates_of(
    connection: &Connection,
    target: i64,
    read_at: Timestamp,
    days: &RateDays,
) -> Result<Rates, Fault> {
    let (sum, until) = ids_of(target);
    let mut used_by = HashMap::<i64, [DayUse; RateDays::COUNT], RandomState>::default();
    // Each day is read by itself: the rows of a target and day are beside each other.
    let sql = "SELECT subject, used, marks FROM days WHERE period = ? AND subject > ? AND subject < ?";
    let mut select = connection.prepare_cached(sql)?;
    for (place, day) in days.days().into_iter().enumerate() {
        let mut rows = select.query(params![day.number(), sum, until])?;
        while let Some(row) = rows.next()? {
            let of_day = DayUse { used: used(row, 1)?, is_marked: !Marks::of_bits(row.get(2)?).is_empty() };
            if let Some(known) = used_by.entry(row.get(0)?).or_default().get_mut(place) {
                *known = of_day;
            }
        }
    }
    let mut used_by: Vec<_> = used_by.into_iter().collect();
    used_by.sort_unstable_by_key(|(subject, _)| *subject);
    let mut find = connection.prepare_cached("SELECT name, born FROM subjects WHERE id = ? AND kind = ?")?;
    let mut rates = Vec::with_capacity(used_by.len());
    for (subject, used) in used_by {
        let found = find.query_row(params![subject, SubjectKind::User.number()], |row| {
            Ok((row.get::<_, String>(0)?, Day::of_number(row.get(1)?)))
        });
        if let Some((name, born)) = found.optional()? {
            rates.push((name.into(), days.rate(born, &used)));
        }
    }
    Ok(Rates::new(read_at, rates))
}

/// When the users of a target were last read.
pub(super) fn users_read(connection: &Connection, target: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(target) = schema::target(connection, target)? else { return Ok(None) };
    let mut select = connection.prepare_cached("SELECT read_at FROM reads WHERE target = ? AND kind = ?")?;
    let read = select.query_row([target, SubjectKind::User.number()], |row| row.get(0)).optional()?;
    Ok(read.map(Timestamp::from_millis))
}

/// The day on which anything of a target was first seen.
pub(super) fn began(connection: &Connection, target: &str) -> Result<Option<Day>, Fault> {
    let Some(target) = schema::target(connection, target)? else { return Ok(None) };
    let (sum, until) = ids_of(target);
    let mut select = connection.prepare_cached("SELECT min(born) FROM subjects WHERE id >= ? AND id < ?")?;
    let born: Option<i32> = select.query_row([sum, until], |row| row.get(0))?;
    Ok(born.map(Day::of_number))
}

/// The first name of a kind that is the one.
pub(super) fn find_name(
    connection: &Connection,
    (target, kind): (&str, SubjectKind),
    is_it: impl Fn(&str) -> bool,
) -> Result<Option<String>, Fault> {
    let Some(target) = schema::target(connection, target)? else { return Ok(None) };
    let mut select = connection.prepare_cached("SELECT name FROM subjects WHERE target = ? AND kind = ?")?;
    let mut rows = select.query([target, kind.number()])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if is_it(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}
